//! Where mails go and where it is kept how far a mailbox was read.

use bytes::Bytes;

/// What a sink could not do now. Everything that is permanent it has to deal with itself.
pub type SinkError = Box<dyn std::error::Error + Send + Sync>;

/// A mail as the mailbox gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its UID.
    pub uid: u32,
    /// Bytes, as the server says.
    pub size: u64,
    /// What there is of it.
    pub content: MailContent,
}

/// What there is of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailContent {
    /// All of it.
    Whole(Bytes),
    /// Its header. The mail itself stays where it is.
    Header {
        /// The header with the empty line after it.
        header: Bytes,
        /// Why there is no more.
        why: Left,
    },
    /// Nothing: the server gives not even its header.
    Nothing,
}

/// Why a mail stays in the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// It is larger than what is taken.
    TooLarge,
    /// The server does not give it.
    Unreadable,
}

/// How far a folder was read, under one UIDVALIDITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The folder's UIDVALIDITY.
    pub uid_validity: u32,
    /// Every mail up to this UID was taken.
    pub taken: u32,
    /// Every mail up to this UID was marked or moved, too.
    pub settled: u32,
}

/// What is known of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was never read.
    Never,
    /// It was read under another UIDVALIDITY: nobody knows which of its mails are which.
    Otherwise,
    /// It was read up to here.
    At(Position),
}

/// Something that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The mailbox is open and was looked through.
    Up,
    /// It cannot be read now; why, as a word.
    Down(&'static str),
    /// The server asks for fewer commands or connections.
    Throttled,
    /// UIDVALIDITY changed: everything in the folder is taken again.
    Resync,
    /// Mails went away before they were taken.
    Vanished(u64),
    /// Mails could not be marked or moved.
    Unsettled,
}

/// Where mails go.
pub trait Sink: Send + Sync {
    /// How far the folder was read under this UIDVALIDITY.
    fn known(&self, uid_validity: u32) -> impl Future<Output = Result<Known, SinkError>> + Send;

    /// Keeps where a folder begins.
    fn begin(&self, position: Position) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Takes mails, in order. `Ok` means that each of them is on disk or noted as passed over, and that the position
    /// `taken` is kept;. Returns those that must stay as they are in the mailbox.
    fn take(
        &self,
        mails: Vec<Mail>,
        position: Position,
    ) -> impl Future<Output = Result<Vec<u32>, SinkError>> + Send;

    /// Keeps the position's `settled`.
    fn settled(&self, position: Position) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Mails between the position's `settled` and `taken` that must stay as they are.
    fn stay(&self, position: Position) -> impl Future<Output = Result<Vec<u32>, SinkError>> + Send;

    /// For metrics.
    fn event(&self, event: Event);
}
