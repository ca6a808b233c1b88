//! A DNS server on the loopback interface whose answers change while it runs.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record, RecordType};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

/// Nobody may keep an answer: the next look-up asks again.
const TTL_SECONDS: u32 = 0;

/// What the server knows of a name, and how often it was asked.
#[derive(Debug, Default)]
struct Entry {
    addresses: Option<Vec<IpAddr>>,
    queries: usize,
}

type Zone = Arc<Mutex<HashMap<String, Entry>>>;

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct DnsServer {
    address: SocketAddr,
    zone: Zone,
    _server: AbortOnDropHandle<()>,
}

impl DnsServer {
    /// Starts a server that knows no name yet.
    pub async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let zone = Zone::default();
        let server = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Ok(Self { address, zone, _server: AbortOnDropHandle::new(server) })
    }

    /// Where it listens (UDP).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on `name` has these addresses; with none, the name exists without addresses.
    pub fn set(&self, name: &str, addresses: &[IpAddr]) {
        self.zone.lock().entry(key(name)).or_default().addresses = Some(addresses.to_vec());
    }

    /// From now on `name` does not exist.
    pub fn remove(&self, name: &str) {
        self.zone.lock().entry(key(name)).or_default().addresses = None;
    }

    /// How often `name` was asked for (a client that wants both families asks twice).
    pub fn queries(&self, name: &str) -> usize {
        self.zone.lock().get(&key(name)).map_or(0, |entry| entry.queries)
    }
}

fn key(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

async fn serve(socket: UdpSocket, zone: Zone) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        let answer = Message::from_vec(&buffer[..length]).ok().and_then(|query| answer(&query, &zone).to_vec().ok());
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await; // a client that has gone asks no more
        }
    }
}

fn answer(query: &Message, zone: &Zone) -> Message {
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = query.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    for question in &query.queries {
        answer.add_query(question.clone());
        let mut zone = zone.lock();
        let entry = zone.entry(key(&question.name.to_ascii())).or_default();
        entry.queries += 1;
        let Some(addresses) = &entry.addresses else {
            answer.metadata.response_code = ResponseCode::NXDomain;
            continue;
        };
        for address in addresses {
            let data = match (address, question.query_type) {
                (IpAddr::V4(address), RecordType::A) => RData::A(A(*address)),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA(AAAA(*address)),
                _ => continue,
            };
            answer.add_answer(Record::from_rdata(question.name.clone(), TTL_SECONDS, data));
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use hickory_proto::op::{OpCode, Query};
    use hickory_proto::rr::Name;

    use super::*;

    async fn ask(server: &DnsServer, name: &str, kind: RecordType) -> (ResponseCode, Vec<IpAddr>) {
        let mut query = Message::query();
        query.metadata.op_code = OpCode::Query;
        query.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.send_to(&query.to_vec().unwrap(), server.address()).await.unwrap();
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).await.unwrap();
        let answer = Message::from_vec(&buffer[..length]).unwrap();
        assert_eq!(answer.metadata.id, query.metadata.id);
        let addresses = answer.answers.iter().map(|record| record.data.ip_addr().unwrap()).collect();
        (answer.metadata.response_code, addresses)
    }

    #[tokio::test]
    async fn answers_change_while_it_runs() {
        let server = DnsServer::start().await.unwrap();
        let name = "hooks.example.test.";
        assert_eq!(ask(&server, name, RecordType::A).await, (ResponseCode::NXDomain, vec![]));

        let (public, private) = (IpAddr::from([203, 0, 113, 7]), IpAddr::from([127, 0, 0, 1]));
        server.set("Hooks.example.test", &[public, IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        assert_eq!(ask(&server, name, RecordType::A).await, (ResponseCode::NoError, vec![public]));
        let six = vec![IpAddr::V6(Ipv6Addr::LOCALHOST)];
        assert_eq!(ask(&server, name, RecordType::AAAA).await, (ResponseCode::NoError, six));

        server.set(name, &[private]);
        assert_eq!(ask(&server, name, RecordType::A).await, (ResponseCode::NoError, vec![private]));
        server.remove(name);
        assert_eq!(ask(&server, name, RecordType::A).await.0, ResponseCode::NXDomain);
        assert_eq!(server.queries("hooks.example.test"), 5);
    }
}
