//! A gateway takes over from another that runs: nobody is refused, and the backend hears the end of every session.

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
};

use futures_util::future::join_all;
use serde_json::json;
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Handshake, Raw, Setup, closed, opened};

/// Where the gateways of a test meet.
struct Meeting {
    socket: PathBuf,
    address: SocketAddr,
}

impl Meeting {
    fn new(name: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("trunkline-{}-{name}.sock", std::process::id()));
        // Free when it is asked for; all gateways of a test listen on it.
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        Meeting { socket, address: free.expect("there is a free port") }
    }

    fn setup(&self, backend: &Backend) -> Setup {
        Setup::new(backend.address())
            .with("listen.address", self.address.to_string())
            .with("listen.handover_socket", json!(self.socket))
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        // What is left is in the system's folder for temporary files.
        let _ = std::fs::remove_file(&self.socket);
    }
}

#[tokio::test]
async fn the_one_that_is_replaced_ends_its_sessions_and_newcomers_get_to_the_other() {
    let meeting = Meeting::new("replaced");
    let mut backend = Backend::echo().await;
    let mut old = Gateway::start(&meeting.setup(&backend)).await;
    let mut ann = Client::enter(&old, "ann").await;
    backend.expect(&opened("ann")).await;

    let new = Gateway::start(&meeting.setup(&backend)).await;
    assert_eq!(ann.closed().await.0, 1001);
    backend.expect(&closed("ann")).await;
    old.stopped().await;

    let mut bob = Client::enter(&new, "bob").await;
    bob.say("hello").await;
    assert_eq!(bob.hear().await, "hello");
}

#[tokio::test]
async fn operators_get_to_the_other_too() {
    let (meeting, admin) = (Meeting::new("operators"), Meeting::new("admin"));
    let backend = Backend::echo().await;
    let setup = meeting.setup(&backend).with("admin.address", admin.address.to_string());
    let mut old = Gateway::start(&setup).await;
    let mut ann = Client::enter(&old, "ann").await;
    let started = old.operator().get("/api/v1/overview").await["gateway"]["started_at"].clone();

    let new = Gateway::start(&setup).await;
    assert_eq!(ann.closed().await.0, 1001);
    old.stopped().await;
    assert_eq!(new.admin_address(), admin.address);
    let overview = new.operator().get("/api/v1/overview").await;
    assert!(overview["gateway"]["started_at"].as_u64() > started.as_u64(), "{overview}");
}

#[tokio::test]
async fn whoever_came_before_the_other_took_over_is_still_answered() {
    let meeting = Meeting::new("under-way");
    let backend = Backend::echo().await;
    let old = Gateway::start(&meeting.setup(&backend)).await;
    let request = Handshake::of("ann").text();
    let (beginning, rest) = request.split_at(request.len() / 2);
    let mut ann = Raw::connect(old.address()).await;
    ann.write(beginning.as_bytes()).await;
    // It is answered, so what came before it was accepted.
    assert_eq!(old.ask("/healthz").await.status, 200);

    let _new = Gateway::start(&meeting.setup(&backend)).await;
    assert_eq!(ann.request(rest.as_bytes()).await.status, 101);
}

#[tokio::test]
async fn nobody_is_refused_however_often_gateways_are_replaced() {
    let meeting = Meeting::new("often");
    let backend = Backend::echo().await;
    // One that is let go of is told to stop; these are replaced.
    let mut gateways = vec![Gateway::start(&meeting.setup(&backend)).await];
    let coming = async |user: usize| {
        for round in 0..5 {
            let (_, answer) = Handshake::of(&format!("user-{user}-{round}")).ask(meeting.address).await;
            assert_eq!(answer.status, 101, "{answer:?}");
        }
    };
    let replacing = async {
        for _ in 0..5 {
            gateways.push(Gateway::start(&meeting.setup(&backend)).await);
        }
    };
    tokio::join!(join_all((0..20).map(coming)), replacing);
}

#[tokio::test]
async fn a_successor_that_fails_has_taken_nothing_away() {
    let meeting = Meeting::new("fails");
    let backend = Backend::echo().await;
    let gateway = Gateway::start(&meeting.setup(&backend)).await;
    // It asks for the sockets, and goes.
    let successor = tokio::net::UnixStream::connect(&meeting.socket).await.expect("it is offered");
    successor.readable().await.expect("the sockets come");
    drop(successor);

    let mut ann = Client::enter(&gateway, "ann").await;
    ann.say("hello").await;
    assert_eq!(ann.hear().await, "hello");
    let _new = Gateway::start(&meeting.setup(&backend)).await;
    assert_eq!(ann.closed().await.0, 1001);
}
