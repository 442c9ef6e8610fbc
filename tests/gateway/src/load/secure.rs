//! Clients that come over TLS and do nothing: what they cost.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

use super::{
    compare::mib,
    error::Failure,
    report::Figures,
    settings::Settings,
    subject::{Kind, Subject},
    tokens, wire,
};
use crate::rig::tls::Authority;

/// Whom the gateway says that it is.
const NAME: &str = "localhost";
/// How long a process is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);
/// A handshake that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// Measures a gateway with clients that do nothing, and come over TLS.
pub(super) fn idle(gateway: &Path, clients: u32, json: bool) -> Result<(), Failure> {
    let authority = Authority::new("load");
    let identity = authority.issue(NAME);
    let mut settings = Settings::of(clients);
    for (key, name, text) in
        [("certificate_file", "load.pem", &identity.certificate), ("key_file", "load.key", &identity.key)]
    {
        settings.with.push(format!("listen.tls.{key} = \"{}\"", authority.write(name, text)));
    }
    let subject = Subject::start(Kind::Gateway, gateway, &settings)?;
    let config = authority.client(None, &["http/1.1"]);
    // What is there once for all connections counts for none of them.
    let first = enter(subject.address, &config, "first")?;
    let (empty, before) = (subject.probe.resident()?, subject.probe.usage()?);
    let mut crowd = Vec::with_capacity(clients as usize);
    for client in 0..clients {
        crowd.push(enter(subject.address, &config, &tokens::user(client))?);
    }
    let shaken = subject.probe.usage()?;
    thread::sleep(SETTLE);
    let idle = subject.probe.resident()?;
    drop((crowd, first));
    thread::sleep(SETTLE);
    let per_client = |amount: u64| amount as f64 / f64::from(clients);
    let mut figures = Figures::default();
    figures.add("handshake.cpu_us", per_client(shaken.cpu_ns - before.cpu_ns) / 1e3);
    figures.add("idle.bytes_per_client", per_client(idle.saturating_sub(empty)));
    figures.add("empty.resident_mib", mib(empty));
    figures.add("idle.resident_mib", mib(idle));
    figures.add("peak_resident_mib", mib(subject.probe.resident_peak()?));
    figures.add("left.resident_mib", mib(subject.probe.resident()?));
    figures.print(json);
    Ok(())
}

fn enter(address: SocketAddr, config: &Arc<ClientConfig>, user: &str) -> Result<Connection, Failure> {
    let name = ServerName::try_from(NAME).map_err(|fault| Failure::Unmet(fault.to_string()))?;
    let session =
        ClientConnection::new(Arc::clone(config), name).map_err(|fault| Failure::Unmet(fault.to_string()))?;
    let socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut stream = StreamOwned::new(session, socket);
    stream.write_all(tokens::request(address, user)?.as_bytes())?;
    let (mut head, mut byte) = (Vec::new(), [0; 1]);
    while !head.ends_with(wire::HEAD_END) {
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok(stream)
    } else {
        Err(Failure::Unmet(String::from_utf8_lossy(&head).into_owned()))
    }
}
