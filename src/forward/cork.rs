//! Header and body of a request in one segment.
//!
//! # Why
//! Pingora writes the header and the body with a call each, and each would go out at once: two packets, and two wake-ups
//! of the server, for a call that fits in one. While the socket is corked (tcp(7), `TCP_CORK`), the kernel gathers.

use std::os::fd::BorrowedFd;

use pingora::protocols::http::client::HttpSession;
use rustix::net::sockopt::set_tcp_cork;

/// Holds back what is written to the session's socket until `release`. It does nothing for HTTP/2, whose connection
/// others share.
pub(in crate::forward) fn hold(session: &HttpSession) {
    cork(session, true);
}

/// Lets go of what was held back.
pub(in crate::forward) fn release(session: &HttpSession) {
    cork(session, false);
}

#[allow(
    unsafe_code,
    reason = "pingora tells the number of a socket, and nothing that can be borrowed safely"
)]
fn cork(session: &HttpSession, on: bool) {
    let Some(fd) = session.stream().map(|stream| stream.id()).filter(|fd| *fd >= 0) else { return };
    // SAFETY: the session owns the socket and outlives this borrow.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    // A socket that cannot be corked (a Unix socket) sends at once, as it would without.
    let _ = set_tcp_cork(socket, on);
}
