//! How fast an endpoint is sent to: concurrency, rate limit, breaker, and what it asked for itself. Pure.

use std::time::Duration;

use postrider_domain::{
    ErrorClass, Monotonic, Outcome, Timestamp,
    breaker::{Breaker, BreakerConfig, BreakerSnapshot, Pass, Permit},
    concurrency::AdaptiveLimit,
    limiter::{Limiter, RateLimit},
    outcome::Jitter,
};

/// The longest that a `Retry-After` keeps the whole lane waiting; the delivery itself waits as told.
const MAX_REST: Duration = Duration::from_mins(5);
/// Of the streams that an HTTP/2 peer takes at a time, one endpoint gets this part: the others of its origin ride the
/// same connection.
const STREAMS_SHARE: u32 = 4;

/// Whether a request may begin.
#[derive(Debug)]
pub(super) enum Leave {
    /// It may; the ticket goes back with its end.
    Go(Ticket),
    /// Ask again then, or when a request has ended.
    Wait(Monotonic),
    /// Ask again when a request has ended.
    Full,
}

/// A request that may begin, or has begun.
#[derive(Debug)]
pub(super) struct Ticket {
    pass: Pass,
    pub begun_at: Monotonic,
}

/// What a request's end says about its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It does well.
    Success,
    /// It answers, though not what we like: no reason to slow down.
    Refusal,
    /// It does not do well.
    Failure,
    /// It can't keep up.
    Overload,
    /// Nothing.
    Nothing,
}

impl Judgement {
    /// What `outcome` says.
    pub(super) fn of(outcome: &Outcome) -> Self {
        match (outcome.error(), outcome.status()) {
            (None, _) => Self::Success,
            (_, Some(429 | 502..=504)) | (Some(ErrorClass::Timeout), _) => Self::Overload,
            (Some(ErrorClass::HttpClientError | ErrorClass::Gone | ErrorClass::Redirect), _) => Self::Refusal,
            (Some(ErrorClass::Configuration | ErrorClass::PayloadTooLarge), _) => Self::Nothing,
            _ => Self::Failure,
        }
    }
}

/// The pace of one endpoint.
#[derive(Debug)]
pub(super) struct Pace {
    concurrency: AdaptiveLimit,
    limiter: Option<(RateLimit, Limiter)>,
    breaker: Breaker,
    /// Nothing before this: the endpoint asked for it.
    rests_until: Monotonic,
    in_flight: usize,
    /// The requests that may be in flight for the sake of others on the same connection. Not known before the first
    /// answer; until then it is the share of a limit of 64, less than what any common server sets.
    max_streams: usize,
    /// Whether how long an answer takes says nothing about the endpoint.
    ignores_latency: bool,
}

impl Pace {
    /// The pace of an endpoint of which nothing is known.
    pub(super) fn new(max_concurrency: u16) -> Self {
        Self {
            concurrency: AdaptiveLimit::new(max_concurrency),
            limiter: None,
            breaker: Breaker::new(BreakerConfig::default()),
            rests_until: Monotonic::START,
            in_flight: 0,
            max_streams: usize::MAX,
            ignores_latency: false,
        }
    }

    /// Takes the breaker up as it was left.
    pub(super) fn restore(&mut self, snapshot: BreakerSnapshot, now: Monotonic, broker_now: Timestamp) {
        self.breaker = Breaker::restore(BreakerConfig::default(), snapshot, now, broker_now);
    }

    /// What to keep of the breaker; none while it is closed.
    pub(super) fn snapshot(&self, now: Monotonic, broker_now: Timestamp) -> Option<BreakerSnapshot> {
        self.breaker.snapshot(now, broker_now)
    }

    /// Goes by this rate limit from here on.
    pub(super) fn set_rate_limit(&mut self, limit: Option<RateLimit>) {
        if self.limiter.as_ref().map(|(known, _)| *known) != limit {
            self.limiter = limit.map(|limit| (limit, Limiter::new(&limit)));
        }
    }

    /// Leaves the others of its origin their part of the streams that an HTTP/2 peer takes at a time, if it has a limit.
    pub(super) fn share_streams(&mut self, limit: Option<u32>) {
        self.max_streams = limit.map_or(usize::MAX, |limit| (limit / STREAMS_SHARE).max(1) as usize);
    }

    /// Whether answers take long for another reason than the endpoint, until this is called again.
    pub(super) fn ignore_latency(&mut self, ignores: bool) {
        self.ignores_latency = ignores;
    }

    /// Asks to begin a request.
    pub(super) fn leave(&mut self, now: Monotonic) -> Leave {
        if self.in_flight >= self.concurrency() {
            return Leave::Full;
        }
        if now < self.rests_until {
            return Leave::Wait(self.rests_until);
        }
        let pass = match self.breaker.permit(now) {
            Permit::Send(pass) | Permit::Probe(pass) => pass,
            Permit::Wait(until) => return Leave::Wait(until),
            Permit::AwaitProbe => return Leave::Full,
        };
        if let Some((_, limiter)) = &mut self.limiter
            && let Err(earliest) = limiter.take(now)
        {
            self.breaker.on_ignored(pass);
            return Leave::Wait(earliest);
        }
        self.in_flight += 1;
        Leave::Go(Ticket { pass, begun_at: now })
    }

    /// A request has ended. Whether the breaker opened or closed by it.
    pub(super) fn ended(&mut self, ticket: Ticket, judgement: Judgement, now: Monotonic, jitter: Jitter) -> bool {
        let in_flight = self.in_flight;
        self.in_flight = self.in_flight.saturating_sub(1);
        match judgement {
            Judgement::Success | Judgement::Refusal if self.ignores_latency => {}
            Judgement::Success | Judgement::Refusal => self.concurrency.on_answer(ticket.begun_at, in_flight, now),
            Judgement::Overload => self.concurrency.on_overload(ticket.begun_at, now),
            Judgement::Failure | Judgement::Nothing => {}
        }
        match judgement {
            Judgement::Success | Judgement::Refusal => self.breaker.on_success(ticket.pass, now),
            Judgement::Overload | Judgement::Failure => self.breaker.on_failure(ticket.pass, now, jitter),
            Judgement::Nothing => {
                self.breaker.on_ignored(ticket.pass);
                false
            }
        }
    }

    /// The endpoint asked to be left alone for so long.
    pub(super) fn rest(&mut self, wait: Duration, now: Monotonic) {
        self.rests_until = self.rests_until.max(now + wait.min(MAX_REST));
    }

    /// Whether the breaker lets nothing through but probes.
    pub(super) fn is_broken(&self) -> bool {
        self.breaker.is_open()
    }

    /// How long it is before anything may be sent, as far as breaker and rest are concerned.
    pub(super) fn closed_for(&self, now: Monotonic) -> Duration {
        self.breaker.next_probe_in(now).unwrap_or_default().max(self.rests_until.since(now))
    }

    /// How long until one with so many others before it has its turn, as far as that is known beforehand.
    pub(super) fn turn_of(&self, ahead: usize, now: Monotonic) -> Duration {
        let limited = self.limiter.as_ref().map_or(Duration::ZERO, |(_, limiter)| limiter.turn_of(ahead, now));
        limited.max(self.closed_for(now))
    }

    /// Requests in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Requests that may be in flight.
    pub(super) fn concurrency(&self) -> usize {
        self.concurrency.limit().min(self.max_streams)
    }

    /// Whether it is as that of an endpoint of which nothing is known would be.
    pub(super) fn is_idle(&self, now: Monotonic) -> bool {
        self.in_flight == 0 && !self.breaker.is_open() && now >= self.rests_until
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const START: Monotonic = Monotonic::START;

    fn go(pace: &mut Pace, now: Monotonic) -> Ticket {
        match pace.leave(now) {
            Leave::Go(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_more_are_in_flight_than_the_concurrency() {
        let mut pace = Pace::new(4);
        let first = go(&mut pace, START);
        assert!(matches!(pace.leave(START), Leave::Full), "it begins at a quarter");
        pace.ended(first, Judgement::Success, START, Jitter(0.5));
        go(&mut pace, START);
    }

    #[test]
    fn a_quarter_of_the_streams_that_a_peer_takes_is_in_flight_at_most() {
        let in_flight = |limit| {
            let mut pace = Pace::new(64);
            pace.share_streams(limit);
            std::iter::from_fn(|| matches!(pace.leave(START), Leave::Go(_)).then_some(())).count()
        };
        for (limit, count) in [(Some(20), 5), (Some(3), 1), (Some(0), 1), (Some(100), 16), (None, 16)] {
            assert_eq!(in_flight(limit), count, "{limit:?}");
        }
        let mut pace = Pace::new(64);
        pace.share_streams(Some(100));
        let mut tickets = VecDeque::new();
        for _ in 0..1_000 {
            while let Leave::Go(ticket) = pace.leave(START) {
                tickets.push_back(ticket);
            }
            pace.ended(tickets.pop_front().unwrap(), Judgement::Success, START, Jitter(0.5));
        }
        assert_eq!(pace.concurrency(), 25, "it grows up to its share");
    }

    #[test]
    fn answers_that_are_late_for_another_reason_do_not_slow_it_down() {
        for ignores in [true, false] {
            let mut pace = Pace::new(64);
            let mut now = START;
            for latency in std::iter::repeat_n(10, 16).chain(std::iter::repeat_n(2_000, 16)) {
                let ticket = go(&mut pace, now);
                now = now + Duration::from_millis(latency);
                pace.ignore_latency(ignores && latency > 10);
                pace.ended(ticket, Judgement::Success, now, Jitter(0.5));
            }
            assert_eq!(pace.concurrency.limit() == 16, ignores, "{}", pace.concurrency.limit());
        }
    }

    #[test]
    fn a_rate_that_is_used_up_waits_and_spends_no_probe() {
        let mut pace = Pace::new(64);
        pace.set_rate_limit(Some(RateLimit::new(Some(1), None, Some(1)).unwrap()));
        let first = go(&mut pace, START);
        let Leave::Wait(until) = pace.leave(START) else { panic!() };
        assert_eq!(until, START + Duration::from_secs(1));
        pace.ended(first, Judgement::Success, START, Jitter(0.5));
        go(&mut pace, until);
        assert_eq!(pace.turn_of(9, until).as_secs(), 10);
    }

    #[test]
    fn what_the_endpoint_asks_for_keeps_the_whole_lane_waiting_within_limits() {
        let mut pace = Pace::new(64);
        pace.rest(Duration::from_hours(9), START);
        assert!(matches!(pace.leave(START), Leave::Wait(until) if until == START + MAX_REST));
        assert_eq!(pace.closed_for(START), MAX_REST);
        go(&mut pace, START + MAX_REST);
    }

    #[test]
    fn failures_break_it_and_refusals_do_not() {
        for (judgement, broken) in
            [(Judgement::Failure, true), (Judgement::Refusal, false), (Judgement::Nothing, false)]
        {
            let mut pace = Pace::new(64);
            for _ in 0..20 {
                if let Leave::Go(ticket) = pace.leave(START) {
                    pace.ended(ticket, judgement, START, Jitter(0.5));
                }
            }
            assert_eq!(pace.is_broken(), broken, "{judgement:?}");
            assert_eq!(pace.snapshot(START, Timestamp::EPOCH).is_some(), broken);
        }
    }

    #[test]
    fn every_outcome_is_judged() {
        let answered = |status| Outcome::Answered { status, retry_after: None };
        let table = [
            (answered(200), Judgement::Success),
            (answered(404), Judgement::Refusal),
            (answered(429), Judgement::Overload),
            (answered(503), Judgement::Overload),
            (answered(500), Judgement::Failure),
            (Outcome::Failed(ErrorClass::Timeout), Judgement::Overload),
            (Outcome::Failed(ErrorClass::Connect), Judgement::Failure),
            (Outcome::Failed(ErrorClass::Configuration), Judgement::Nothing),
        ];
        for (outcome, judgement) in table {
            assert_eq!(Judgement::of(&outcome), judgement, "{outcome:?}");
        }
    }
}
