//! Customers who write without pause, and note what they were told.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::task::JoinSet;

use super::{Letter, Smtp};

/// How long a sender waits before it tries a mail again.
const AGAIN: Duration = Duration::from_millis(50);

/// What a sender knows of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// 250: it is ours to keep.
    Accepted,
    /// Another reply.
    Refused(u16),
    /// No reply; whether the whole mail was sent.
    Cut { whole: bool },
    /// No connection.
    Unreachable,
}

/// A mail and its fate.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) id: String,
    /// The mail that it answers.
    pub(crate) parent: Option<String>,
    pub(crate) told: Told,
    /// Attempts, the last one included.
    pub(crate) attempts: usize,
}

/// Running senders, each with a connection. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    senders: JoinSet<Vec<Sent>>,
}

#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    /// Try each mail until it is accepted, as a mail server does; without that, end when nobody answers.
    persistent: bool,
    /// Between two mails of a sender.
    pace: Duration,
    accepted: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    pub(crate) fn start(
        address: SocketAddr,
        senders: usize,
        pace: Duration,
        persistent: bool,
    ) -> Self {
        let shared = Arc::new(Shared {
            address,
            persistent,
            pace,
            accepted: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let mut tasks = JoinSet::new();
        for number in 0..senders {
            tasks.spawn(send(Arc::clone(&shared), number));
        }
        Self {
            shared,
            senders: tasks,
        }
    }

    /// Mails that were answered with 250 so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Begins no new mails, and waits for those in hand.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.senders.join_all().await.concat()
    }
}

async fn send(shared: Arc<Shared>, sender: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut connection = None;
    let mut opening: Option<(String, String)> = None;
    let mut pace = tokio::time::interval(shared.pace);
    for number in 0.. {
        pace.tick().await;
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        // Two mails of three open tickets, the third answers the last of them. Each ticket has a customer of its own:
        // one who comes back would wait for the agent that they know.
        let (parent, from) = match opening.clone().filter(|_| number % 3 == 2) {
            Some((parent, customer)) => (Some(parent), customer),
            None => (None, format!("customer{number}@load{sender}.example")),
        };
        let mut letter = Letter::new(&from, &format!("load {sender} {number}"), "Please help me.");
        letter.in_reply_to.clone_from(&parent);
        letter.references = parent.iter().cloned().collect();
        let mut attempts = 0;
        let told = loop {
            attempts += 1;
            let told = attempt(&mut connection, &shared, &letter).await;
            if told == Told::Accepted || !shared.persistent {
                break told;
            }
            tokio::time::sleep(AGAIN).await;
        };
        if parent.is_none() && told == Told::Accepted {
            opening = Some((letter.message_id.clone(), from));
        }
        sent.push(Sent {
            id: letter.message_id,
            parent,
            told,
            attempts,
        });
        if told == Told::Unreachable {
            break;
        }
    }
    sent
}

async fn attempt(connection: &mut Option<Smtp>, shared: &Shared, letter: &Letter) -> Told {
    let smtp = match connection {
        Some(smtp) => smtp,
        None => match Smtp::open(shared.address).await {
            Ok(smtp) => connection.insert(smtp),
            Err(_) => return Told::Unreachable,
        },
    };
    match smtp.send(letter).await {
        Ok(reply) if reply.code == 250 => {
            shared.accepted.fetch_add(1, Ordering::SeqCst);
            Told::Accepted
        }
        Ok(reply) => {
            // After 421 the server closes; after any other refusal a fresh connection costs nothing either.
            *connection = None;
            Told::Refused(reply.code)
        }
        Err(_) => {
            let whole = smtp.whole;
            *connection = None;
            Told::Cut { whole }
        }
    }
}
