//! What a session asks of the driver, which has the socket.

use super::{Reply, Transaction};

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this and go on.
    Reply(Reply),
    /// Send this, then read message data.
    Data(Reply),
    /// Read `size` bytes of the mail.
    Chunk {
        /// Bytes that follow the command.
        size: u64,
        /// Whether the mail ends with them.
        last: bool,
        /// The envelope, with the first chunk of a mail.
        envelope: Option<Box<Transaction>>,
    },
    /// Read `size` bytes and forget them, then send this.
    Discard {
        /// Bytes that follow the command.
        size: u64,
        /// What to say of it.
        reply: Reply,
    },
    /// Send this, then start TLS.
    StartTls(Reply),
    /// Send this and close.
    Close(Reply),
}
