//! Just enough of HTTP/1.1 to take requests as Postrider and reqwest make them: a head, a body of a stated length.

/// A whole request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its path without the slash, as a number; 0 if it is none.
    pub endpoint: usize,
    /// What its body says of the event.
    pub event: Option<Event>,
    /// Its body.
    pub body: &'a [u8],
    /// Its bytes, head and body.
    pub length: usize,
}

/// The part of an event's data that is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub number: usize,
    /// When it was written, by the stopwatch of the process.
    pub written_micros: u64,
}

/// The request at the start of `bytes`; none while it is not all there.
pub fn parse(bytes: &[u8]) -> Option<Request<'_>> {
    let head = find(bytes, b"\r\n\r\n")?;
    let lines = std::str::from_utf8(&bytes[..head]).ok()?;
    let mut lines = lines.split("\r\n");
    let path = lines.next()?.split(' ').nth(1)?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let begin = head + 4;
    let end = begin + length.unwrap_or_default();
    let body = bytes.get(begin..end)?;
    let endpoint = path.trim_start_matches('/').parse().unwrap_or_default();
    Some(Request { endpoint, event: event(body), body, length: end })
}

fn event(body: &[u8]) -> Option<Event> {
    const NUMBER: &[u8] = b"{\"n\":";
    const WRITTEN: &[u8] = b",\"at\":";
    let rest = &body[find(body, NUMBER)? + NUMBER.len()..];
    let number = digits(rest)?;
    let rest = &rest[find(rest, WRITTEN)? + WRITTEN.len()..];
    Some(Event { number: usize::try_from(number).ok()?, written_micros: digits(rest)? })
}

fn digits(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&text[..end]).ok()?.parse().ok()
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "POST /17 HTTP/1.1\r\nHost: x\r\nContent-Length: 48\r\n\r\n\
        {\"type\":\"order.1\",\"data\":{\"n\":12,\"at\":3456,\"p\":0}}POST";

    #[test]
    fn a_whole_request_is_taken_and_the_next_ones_beginning_left() {
        let length = REQUEST.len() - 6;
        let request = REQUEST.replace("48", &(length - REQUEST.find('{').unwrap() + 2).to_string());
        let parsed = parse(request.as_bytes()).unwrap();
        assert_eq!((parsed.endpoint, parsed.event), (17, Some(Event { number: 12, written_micros: 3456 })));
        assert_eq!(&request[parsed.length..], "POST");
        assert_eq!(parse(&request.as_bytes()[..parsed.length - 1]), None, "its last byte is missing");
    }

    #[test]
    fn a_body_without_an_event_is_a_request_all_the_same() {
        let parsed = parse(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        assert_eq!((parsed.endpoint, parsed.event, parsed.length), (0, None, 19));
    }
}
