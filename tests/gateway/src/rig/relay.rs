//! A relay before a listener: a cable that can be pulled, so that neither end hears that the other is gone.

use std::{
    future::pending,
    net::{Ipv4Addr, SocketAddr},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Passes on what comes, in both directions, from and to as many connections as are made to it.
///
/// It stands for half-open peers as an application sees them: nothing comes, nothing ends. To the system below, the
/// peer is still there, for the relay's sockets acknowledge what is sent to them until their buffers are full.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    /// How often the cable was pulled.
    pulls: watch::Sender<u64>,
}

impl Relay {
    /// One before `target`.
    ///
    /// # Panics
    ///
    /// There is no free port.
    pub async fn before(target: SocketAddr) -> Relay {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let pulls = watch::Sender::new(0);
        let pulled = pulls.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(target).await else { continue };
                tokio::spawn(pass_on(near, far, pulled.clone()));
            }
        });
        Relay { address, pulls }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing more passes over any connection that there is, not even its end. New ones are not affected.
    pub fn pull(&self) {
        self.pulls.send_modify(|pulls| *pulls += 1);
    }
}

async fn pass_on(mut near: TcpStream, mut far: TcpStream, mut pulled: watch::Receiver<u64>) {
    let before = *pulled.borrow_and_update();
    let is_over = tokio::select! {
        // However it ended, both sides are closed.
        _ = copy_bidirectional(&mut near, &mut far) => true,
        gone = pulled.wait_for(|pulls| *pulls > before) => gone.is_err(),
    };
    if !is_over {
        // Both sockets stay open until the test is over, whatever their peers do.
        pending::<()>().await;
    }
}
