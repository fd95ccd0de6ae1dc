//! The bytes of the protocol: responses are framed, cut into values and made into facts.
//!
//! This is written here and not taken from a crate on purpose. `async-imap` 0.12 ends a FETCH without an error when the
//! server says NO or the connection breaks in the middle (which looks like "no more mail"), puts mails into the text of
//! its errors and passwords into its trace log, and gives up a connection for one line that it cannot read. Here every
//! line that is not understood is passed over, every literal has a limit, and only a tagged OK ends a command well.

pub(crate) mod frame;
pub(crate) mod response;
pub(crate) mod value;
