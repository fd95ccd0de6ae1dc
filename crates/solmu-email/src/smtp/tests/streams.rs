//! Any bytes, cut anywhere: the same dialogue, no panic, and no mail that was not ended as it should be.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::{
    driver::{Connection, Shared},
    gate::Room,
    *,
};

/// A client that sends pieces and then closes, and writes down what it is told.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    told: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(mut piece) = self.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buffer.remaining()));
            buffer.put_slice(&piece);
            if !rest.is_empty() {
                self.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.told.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a dialogue came to: what the client was told, and the originals that were taken.
#[derive(Debug, PartialEq)]
struct Outcome {
    told: String,
    taken: Vec<String>,
}

fn talk(pieces: Vec<Vec<u8>>, role: Role, policy: BareLf) -> Outcome {
    let mut config = config();
    config.smtp.max_message_bytes = 600;
    config.smtp.max_buffered_bytes = 1024 * 1024;
    config.smtp.max_command_bytes = 512;
    config.smtp.bare_lf = policy;
    let bench = bench(&config);
    let room = Room::new(config.smtp.max_buffered_bytes);
    let shared = Arc::new(Shared {
        settings: Arc::new(settings(&config, &bench)),
        receiver: bench.receiver.clone(),
        rng: Arc::new(SeededRng::new(1)),
        metrics: bench.metrics.clone(),
        drain: CancellationToken::new(),
        room: Arc::clone(&room),
        certificates: None,
    });
    let told = Arc::new(Mutex::new(Vec::new()));
    let stream = Pieces {
        // An empty read would be the end of the connection.
        pieces: pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect(),
        told: Arc::clone(&told),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let connection = Connection::new(stream, role, [192, 0, 2, 1].into(), shared);
    runtime.block_on(Box::pin(connection.run(false)));
    assert_eq!(room.used(), 0);
    let told = String::from_utf8(told.lock().unwrap().clone()).unwrap();
    let taken = bench.desk.messages().into_iter().map(|message| {
        let Some(solmu_proto::inbound::v1::raw_original::Place::Inline(raw)) =
            message.raw.unwrap().place
        else {
            panic!("a small original travels inline");
        };
        String::from_utf8_lossy(&raw).into_owned()
    });
    Outcome {
        told,
        taken: taken.collect(),
    }
}

fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| bytes[pair[0]..pair[1]].to_vec())
        .collect()
}

/// Pieces of dialogues, whole and broken.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"EHLO c.example\r\n",
        b"HELO c.example\r\n",
        b"LHLO c.example\r\n",
        b"STARTTLS\r\n",
        b"MAIL FROM:<a@c.example>\r\n",
        b"MAIL FROM:<> SIZE=100 RET=HDRS\r\n",
        b"RCPT TO:<support@desk.example>\r\n",
        b"RCPT TO:<sales@desk.example> NOTIFY=NEVER\r\n",
        b"RCPT TO:<x@desk.example>\r\n",
        b"DATA\r\n",
        b"Subject: s\r\n\r\n",
        b"..\r\n",
        b"body\n",
        b"\r\n.\r\n",
        b".\r\n",
        b"\n.\n",
        b"\r.\r",
        b"\r\n",
        b"BDAT 12\r\nSubject: s\r\n",
        b"BDAT 0\r\n",
        b"BDAT 0 LAST\r\n",
        b"BDAT 4 LAST\r\n\r\nhi",
        b"BDAT 700\r\n",
        b"BDAT x\r\n",
        b"RSET\r\n",
        b"NOOP\r\n",
        b"QUIT\r\n",
    ];
    let envelope = "MAIL FROM:<a@c.example>\r\nRCPT TO:<support@desk.example>\r\nRCPT TO:<sales@desk.example>\r\n";
    let opening = move |hello| format!("{hello} c.example\r\n{envelope}DATA\r\n").into_bytes();
    prop_oneof![
        2 => proptest::sample::select(vec!["EHLO", "LHLO"]).prop_map(opening),
        2 => Just(b"Subject: s\r\n\r\nx\r\n.\r\n".to_vec()),
        8 => proptest::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => Just(vec![b'x'; 700]),
    ]
}

fn around() -> impl Strategy<Value = (Role, BareLf)> {
    (any::<bool>(), any::<bool>()).prop_map(|(local, lenient)| {
        (
            if local { Role::Lmtp } else { Role::Smtp },
            if lenient {
                BareLf::Normalise
            } else {
                BareLf::Reject
            },
        )
    })
}

fn count(bytes: &[u8], what: &[u8]) -> usize {
    bytes
        .windows(what.len())
        .filter(|window| *window == what)
        .count()
}

proptest! {
    #[test]
    fn the_network_may_cut_where_it_likes(
        fragments in proptest::collection::vec(fragment(), 0..14),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
        (role, policy) in around(),
    ) {
        let bytes = fragments.concat();
        let whole = talk(vec![bytes.clone()], role, policy);
        prop_assert_eq!(&talk(cut(&bytes, &cuts), role, policy), &whole);
        let single = bytes.iter().map(|byte| vec![*byte]).collect();
        prop_assert_eq!(&talk(single, role, policy), &whole);
        // Each mail that was taken had its end; one mail is at most a message in each of two accounts.
        let ends = count(&bytes, b"\r\n.\r\n") + count(&bytes, b" LAST\r\n");
        prop_assert!(whole.taken.len() <= 2 * ends);
        // Every line that was said is a reply.
        for line in whole.told.split_terminator("\r\n") {
            prop_assert!(line.len() > 4 && line.is_char_boundary(3) && line[..3].bytes().all(|byte| byte.is_ascii_digit()), "{}", line);
        }
    }

    #[test]
    fn a_mail_that_does_not_end_is_not_taken(
        body in "[a.\0\r\n]{0,60}", chunked: bool, missing in 1_usize..50, (role, policy) in around(),
    ) {
        let hello = if role == Role::Lmtp { "LHLO" } else { "EHLO" };
        let envelope = format!("{hello} c.example\r\nMAIL FROM:<>\r\nRCPT TO:<support@desk.example>\r\n");
        let data = if chunked {
            format!("BDAT {} LAST\r\n{body}", body.len() + missing)
        } else {
            // After "DATA CRLF" a dot alone in the first line is an end too.
            let mut body = ["\r\n", &body].concat();
            while body.contains("\r\n.\r\n") {
                body = body.replace("\r\n.\r\n", "\r\nx\r\n");
            }
            format!("DATA{body}")
        };
        let outcome = talk(vec![[envelope, data].concat().into_bytes()], role, policy);
        prop_assert!(outcome.taken.is_empty());
    }
}
