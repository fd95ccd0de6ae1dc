//! The client side of one mailbox's synchronisation over IMAP (RFC 9051, RFC 3501).
//!
//! Every mail of a folder is handed to a [`Sink`] once and in order, whatever the server or the network does. How far a
//! folder was read is a UID under a UIDVALIDITY: not a time window, which loses what came while we were away, and not
//! `\Seen`, which people and other programs set. The sink keeps that position only after it has the mails on disk; what
//! a crash repeats has no second effect, because the sink knows mails by their content. When UIDVALIDITY changes, nobody
//! knows which mail is which, and all of them are handed over again for the same reason.
//!
//! One bad mail never stops the others: a mail that the server refuses or that breaks the connection again and again is
//! handed over as its header, and as [`MailContent::Nothing`] if even that cannot be had. But only if others can be
//! read: a server in trouble costs no mail.

mod care;
mod error;
mod fetch;
mod pass;
mod run;
mod session;
mod settings;
mod settle;
mod sink;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod wire;

pub use error::ImapError;
pub use run::run;
pub use settings::{
    AfterImport, From, IMPORTED_KEYWORD, Limits, Login, Settings, Times, Tls, TokenError, Tokens,
};
pub use sink::{Event, Known, Left, Mail, MailContent, Position, Sink, SinkError};
