//! Listening sockets that outlive a process, so that a restart refuses nobody: they come from the service manager
//! (systemd's socket activation), or from the gateway that this one replaces, over a Unix socket.
//!
//! What is said on that socket: whoever accepts sends one byte with the descriptors of its listening sockets
//! (`SCM_RIGHTS`, unix(7)). Whoever connects answers with one byte once it accepts clients itself. Only then does the
//! first stop accepting, and drain. A successor that fails before has taken nothing away.

use std::{
    fs,
    future::pending,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{UnixListener, UnixStream},
    time::{sleep, timeout},
};

/// Sockets that are handed over at most.
const SOCKETS_MAX: usize = 64;
/// How long either side waits for the other's word: a successor has to read its configuration and open its links.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long accepting pauses when it fails.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The one byte that each side says.
const WORD: [u8; 1] = *b"T";

/// Listening sockets that were there before this process.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<TcpListener>,
    /// Whether the service manager passed some of them.
    activated: usize,
    predecessor: Option<UnixStream>,
}

impl Inherited {
    /// Takes what the service manager passes, and what the gateway at `path` has, if there is one.
    ///
    /// # Errors
    ///
    /// What is passed is no listening TCP socket, or the gateway at `path` does not hand over what it has.
    pub(crate) async fn take(path: Option<&Path>) -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        let mut passed = listenfd::ListenFd::from_env();
        for index in 0..passed.len() {
            inherited.sockets.extend(passed.take_tcp_listener(index)?);
        }
        inherited.activated = inherited.sockets.len();
        if let Some(path) = path {
            match UnixStream::connect(path).await {
                Ok(predecessor) => {
                    check_user(&predecessor)?;
                    let sockets = timeout(PATIENCE, receive(&predecessor)).await;
                    inherited
                        .sockets
                        .extend(sockets.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?);
                    inherited.predecessor = Some(predecessor);
                }
                // Nobody to replace.
                Err(error) if is_nobody(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(inherited)
    }

    /// Takes out the socket that listens on `address`.
    pub(crate) fn socket(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let is_it = |socket: &TcpListener| socket.local_addr().is_ok_and(|local| local == address);
        let index = self.sockets.iter().position(is_it)?;
        self.activated = self.activated.saturating_sub(usize::from(index < self.activated));
        Some(self.sockets.remove(index))
    }

    /// An address that the service manager listens on for nobody.
    pub(crate) fn unclaimed(&self) -> Option<SocketAddr> {
        self.sockets.get(..self.activated)?.first()?.local_addr().ok()
    }

    /// Tells the one that is replaced that clients are accepted here now.
    pub(crate) async fn ready(self) {
        if let Some(mut predecessor) = self.predecessor {
            // Where it is gone, there is nobody to tell.
            let _ = predecessor.write_all(&WORD).await;
            tracing::info!(target: "gateway", "took over from the gateway that ran before");
        }
    }
}

fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Where a successor can ask for the listening sockets, if anywhere.
pub(crate) struct Offer(Option<(UnixListener, Vec<OwnedFd>)>);

impl Offer {
    /// Offers `sockets` at `path`, in place of whoever did so before.
    ///
    /// # Errors
    ///
    /// The path cannot be written to.
    pub(crate) fn new<'s, S: AsFd + 's>(
        path: Option<&Path>,
        sockets: impl Iterator<Item = &'s S>,
    ) -> io::Result<Offer> {
        let Some(path) = path else { return Ok(Offer(None)) };
        let sockets = sockets.take(SOCKETS_MAX).map(|socket| socket.as_fd().try_clone_to_owned());
        let sockets = sockets.collect::<io::Result<_>>()?;
        // Nobody else may connect at any time, and whoever looks finds a socket at any time.
        let mut prepared = path.as_os_str().to_owned();
        prepared.push(format!(".{}", std::process::id()));
        let prepared = PathBuf::from(prepared);
        let at = UnixListener::bind(&prepared)?;
        let put = fs::set_permissions(&prepared, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&prepared, path));
        if let Err(error) = put {
            // What went wrong is said already.
            let _ = fs::remove_file(&prepared);
            return Err(error);
        }
        Ok(Offer(Some((at, sockets))))
    }

    /// Resolves once a successor accepts clients.
    pub(crate) async fn taken(self) {
        let Some((at, sockets)) = self.0 else { return pending().await };
        loop {
            let taken = match at.accept().await {
                Ok((successor, _)) => timeout(PATIENCE, hand_over(successor, &sockets)).await,
                Err(error) => {
                    tracing::warn!(target: "gateway", %error, "cannot hand over");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            match taken {
                Ok(Ok(())) => return,
                Ok(Err(error)) => tracing::warn!(target: "gateway", %error, "not replaced: going on"),
                Err(_) => tracing::warn!(target: "gateway", "not replaced in time: going on"),
            }
        }
    }
}

/// Neither side deals with anybody but the user that it runs as.
fn check_user(peer: &UnixStream) -> io::Result<()> {
    let is_own = peer.peer_cred()?.uid() == rustix::process::geteuid().as_raw();
    if is_own { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

async fn hand_over(mut successor: UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    check_user(&successor)?;
    send(&successor, sockets).await?;
    successor.read_exact(&mut [0; 1]).await?;
    Ok(())
}

async fn send(to: &UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    let send = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&sockets));
        Ok(sendmsg(to, &[IoSlice::new(&WORD)], &mut control, SendFlags::NOSIGNAL)?)
    };
    to.async_io(Interest::WRITABLE, send).await.map(|_| ())
}

async fn receive(from: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let receive = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut word = WORD;
        let received =
            recvmsg(from, &mut [IoSliceMut::new(&mut word)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if received.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        });
        Ok(rights.flatten().map(TcpListener::from).collect())
    };
    from.async_io(Interest::READABLE, receive).await
}
