//! Questions to the system about sockets and limits. One of them no safe interface asks: the only unsafe code of the
//! gateway.

use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Segments sent in a row without an answer, from which on a peer counts as vanished: about six seconds.
const UNANSWERED_MAX: u8 = 5;

/// Whether the peer's machine has left the last few segments, or probes of a closed window, unanswered
/// (tcp(7), `TCP_INFO`).
///
/// That is what `TCP_USER_TIMEOUT` cannot say: it ends a connection as well whose peer is there and has closed its
/// window for a while.
pub fn is_unanswered(socket: &impl AsRawFd) -> bool {
    tcp_info(socket).is_some_and(|[_, _, retransmits, probes, ..]| retransmits.max(probes) >= UNANSWERED_MAX)
}

/// Whether the connection is no more: the peer has reset it, or the system has given it up.
pub fn is_closed(socket: &impl AsRawFd) -> bool {
    tcp_info(socket).is_some_and(|[state, ..]| state == TCP_CLOSE)
}

/// The state of a connection that is no more (the kernel's `TCP_CLOSE`).
const TCP_CLOSE: u8 = 7;

/// The beginning of `TCP_INFO`; `None` where the system does not say.
#[allow(unsafe_code)]
fn tcp_info(socket: &impl AsRawFd) -> Option<[u8; 8]> {
    // struct tcp_info begins with: state, ca_state, retransmits, probes, backoff, … one byte each.
    let mut info = [0u8; 8];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: `info` is writable for the `len` bytes that are announced, and the kernel writes at most those; the
    // descriptor is open for as long as the borrow of `socket`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    (result == 0).then_some(info)
}

/// Raises the limit on open descriptors to the most that the process may have. Returns the limit then in force.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let in_force = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(_) => limit.current,
    };
    in_force.unwrap_or(u64::MAX)
}
