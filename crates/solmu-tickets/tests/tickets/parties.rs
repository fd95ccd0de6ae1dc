//! Who joins by what, when several people name the same messages.

use solmu_proto::{
    inbound::v1::{MessageReceived, authenticity::Verdict},
    types::v1::AutomaticClass,
};
use solmu_tickets::Config;

use crate::support::{World, answer, automatic, copied, judged, mail, signed};

const ROOT: &str = "root@c.example";
const AINO: &str = "aino@c.example";
const MALLORY: &str = "mallory@evil.example";

/// A mail whose subject names a ticket.
fn tagged(id: &str, from: &str, numbers: &[i64]) -> MessageReceived {
    let mut message = mail(id, from);
    if let Some(threading) = &mut message.threading {
        threading.subject_ticket_numbers = numbers.to_vec();
    }
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_in_the_subject_joins_who_takes_part_and_links_the_others() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let joined = world
        .file(&tagged("t1@c.example", AINO, &[1, ticket.number]))
        .await
        .unwrap();
    assert_eq!(joined.id, ticket.id, "an unknown number is passed over");
    let colleague = tagged("t0@c.example", "boss@c.example", &[ticket.number]);
    let apart = world.file(&colleague).await.unwrap();
    assert_ne!(apart.id, ticket.id, "a number can be guessed by anybody");
    let stranger = tagged("t2@evil.example", MALLORY, &[ticket.number]);
    let apart = world.file(&stranger).await.unwrap();
    assert_ne!(apart.id, ticket.id);
    let wanted = vec![(ticket.id, "mentions".to_owned())];
    assert_eq!(world.links(apart.id).await, wanted);
    let notices = world.notices(&stranger).await;
    assert!(
        notices[0].contains(&format!("ticket #{}", ticket.number)),
        "{notices:?}"
    );
    let forged = judged(
        tagged("t3@c.example", AINO, &[ticket.number]),
        Verdict::Failed,
    );
    assert_ne!(world.file(&forged).await.unwrap().id, ticket.id);
    // Another account of ours, the same customer.
    let elsewhere = MessageReceived {
        account: "sales".to_owned(),
        ..tagged("t4@c.example", AINO, &[ticket.number])
    };
    assert_eq!(world.file(&elsewhere).await.unwrap().id, ticket.id);
    // What an answer refers to counts before what its subject says.
    let other = world.file(&mail("other@c.example", AINO)).await.unwrap();
    let mut both = answer("t5@c.example", AINO, &["other@c.example"]);
    both.threading.as_mut().unwrap().subject_ticket_numbers = vec![ticket.number];
    assert_eq!(world.file(&both).await.unwrap().id, other.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_hold_within_their_account() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let elsewhere = MessageReceived {
        account: "sales".to_owned(),
        ..answer("r@c.example", AINO, &[ROOT])
    };
    assert_ne!(world.file(&elsewhere).await.unwrap().id, ticket.id);
    let with_proof = MessageReceived {
        account: "sales".to_owned(),
        ..signed(answer("s@c.example", AINO, &[]), ticket.id)
    };
    assert_eq!(world.file(&with_proof).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_answer_of_somebody_new_joins_and_says_so() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let told = |notices: Vec<String>| {
        notices
            .iter()
            .any(|it| it.contains("not part of this ticket"))
    };
    let colleague = signed(mail("c@c.example", "boss@c.example"), ticket.id);
    world.file(&colleague).await.unwrap();
    assert!(!told(world.notices(&colleague).await));
    let friend = signed(mail("f@f.example", "friend@f.example"), ticket.id);
    assert_eq!(world.file(&friend).await.unwrap().id, ticket.id);
    assert!(told(world.notices(&friend).await));
    let again = answer("f2@f.example", "friend@f.example", &["f@f.example"]);
    assert_eq!(world.file(&again).await.unwrap().id, ticket.id);
    assert!(!told(world.notices(&again).await));

    // After it is closed, somebody new opens a ticket of their own and takes nothing over.
    world.set_status(ticket.id, "closed").await;
    let late = signed(mail("l@g.example", "late@g.example"), ticket.id);
    let apart = world.file(&late).await.unwrap();
    assert_ne!(apart.id, ticket.id);
    let next = world
        .file(&answer("n@c.example", AINO, &[ROOT]))
        .await
        .unwrap();
    assert_ne!(next.id, apart.id);
    assert_eq!(next.previous_ticket_id, Some(ticket.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_copied_may_answer_that_mail_and_nothing_else() {
    let world = World::new().await;
    let partner = "partner@p.example";
    let first = copied(
        mail(ROOT, AINO),
        &["Partner@p.example", "support@solmu.example"],
    );
    let ticket = world.file(&first).await.unwrap();
    let second = answer("m2@c.example", AINO, &[ROOT]);
    world.file(&second).await.unwrap();
    let blind = world
        .file(&answer("p1@p.example", partner, &["m2@c.example"]))
        .await
        .unwrap();
    assert_ne!(blind.id, ticket.id, "they did not get that one");
    let joined = world
        .file(&answer("p2@p.example", "partner@p.example", &[ROOT]))
        .await
        .unwrap();
    assert_eq!(joined.id, ticket.id);

    // The other way round: the answer comes first.
    let early = world
        .file(&answer("e2@q.example", "q@q.example", &["late@c.example"]))
        .await
        .unwrap();
    let original = copied(mail("late@c.example", AINO), &["q@q.example"]);
    assert_eq!(world.file(&original).await.unwrap().id, early.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_write_to_each_other_about_an_unknown_mail_meet() {
    let world = World::new().await;
    let one = copied(
        answer("1@c.example", AINO, &["lost@c.example"]),
        &["two@p.example"],
    );
    let ticket = world.file(&one).await.unwrap();
    let two = answer("2@p.example", "two@p.example", &["lost@c.example"]);
    let apart = world.file(&two).await.unwrap();
    assert_ne!(apart.id, ticket.id, "anybody can copy anybody");
    let three = copied(
        answer("3@c.example", "q@q.example", &["lost@c.example"]),
        &[AINO, "other@q.example"],
    );
    assert_ne!(world.file(&three).await.unwrap().id, ticket.id);
    let four = copied(
        answer("4@c.example", AINO, &["lost@c.example"]),
        &["r@r.example"],
    );
    assert_eq!(world.file(&four).await.unwrap().id, ticket.id);
    let five = copied(
        answer("5@r.example", "r@r.example", &["lost@c.example"]),
        &[AINO],
    );
    assert_eq!(world.file(&five).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_names_a_foreign_id_first_neither_takes_nor_splits_its_thread() {
    let world = World::new().await;
    // Three ways to be first: as a reference, as the own id, and with the victim copied.
    let traps = [
        answer("m1@evil.example", MALLORY, &["x1@c.example"]),
        mail("x2@c.example", MALLORY),
        copied(mail("x3@c.example", MALLORY), &["victim@h.example"]),
    ];
    for (n, trap) in (1..).zip(traps) {
        let trapped = world.file(&trap).await.unwrap();
        let id = format!("x{n}@c.example");
        let original = MessageReceived {
            text: "the real one".to_owned(),
            ..mail(&id, AINO)
        };
        world.send(&[original]).await;
        world.settled().await;
        let thread: Vec<_> = world
            .tickets()
            .await
            .into_iter()
            .filter(|it| it.number > trapped.number)
            .collect();
        assert_eq!(thread.len(), 1, "one ticket for the real mail of trap {n}");
        let ticket = &thread[0];
        assert_eq!(ticket.previous_ticket_id, None);
        for (from, part) in [(AINO, "a"), ("boss@c.example", "b")] {
            let reply = answer(&format!("r{n}{part}@c.example"), from, &[&id]);
            assert_eq!(world.file(&reply).await.unwrap().id, ticket.id);
        }
        let more = answer(&format!("m{n}-2@evil.example"), MALLORY, &[&id]);
        assert_eq!(world.file(&more).await.unwrap().id, trapped.id);
        assert_eq!(
            world.links(trapped.id).await,
            [(ticket.id, "mentions".to_owned())]
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_sender_is_not_who_they_say() {
    let world = World::new().await;
    let ticket = world
        .file(&judged(mail(ROOT, AINO), Verdict::Verified))
        .await
        .unwrap();
    let forged = judged(answer("f1@evil.example", AINO, &[ROOT]), Verdict::Failed);
    let apart = world.file(&forged).await.unwrap();
    assert_ne!((apart.id, apart.contact_id), (ticket.id, ticket.contact_id));
    assert_ne!(apart.contact_id, ticket.contact_id);
    assert!(world.notices(&forged).await[0].contains("may be forged"));
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.identity WHERE value = 'aino@c.example'")
            .await,
        2
    );
    // Their own thread is one, and nobody else's.
    let more = judged(
        answer("f2@evil.example", AINO, &[ROOT, "f1@evil.example"]),
        Verdict::Failed,
    );
    let more = world.file(&more).await.unwrap();
    assert_eq!((more.id, more.contact_id), (apart.id, apart.contact_id));
    let real = answer("r@c.example", AINO, &[ROOT, "f1@evil.example"]);
    assert_eq!(world.file(&real).await.unwrap().id, ticket.id);
    // Our signature proves that they got our mail: it joins, as somebody else.
    let with_proof = signed(
        judged(mail("f3@evil.example", AINO), Verdict::Failed),
        ticket.id,
    );
    assert_eq!(world.file(&with_proof).await.unwrap().id, ticket.id);
    assert_eq!(world.notices(&with_proof).await.len(), 2);
    let later = judged(
        answer("f4@evil.example", AINO, &["f3@evil.example"]),
        Verdict::Failed,
    );
    assert_ne!(world.file(&later).await.unwrap().id, ticket.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn less_proof_than_before_is_marked() {
    let world = World::new().await;
    let ticket = world.file(&proven(mail(ROOT, AINO))).await.unwrap();
    let claimed = judged(answer("c@c.example", AINO, &[ROOT]), Verdict::Unverified);
    assert_eq!(world.file(&claimed).await.unwrap().id, ticket.id);
    assert!(world.notices(&claimed).await[0].contains("be careful"));
}

/// The same, by somebody whose address is proven.
fn proven(message: MessageReceived) -> MessageReceived {
    let mut message = judged(message, Verdict::Verified);
    message.sender.as_mut().unwrap().identities[0].assurance =
        solmu_proto::types::v1::Assurance::Proven.into();
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_may_write_everywhere_if_it_is_one_for_certain() {
    let world = World::configured(Config {
        agent_mail_domains: vec!["desk.example".to_owned()],
        ..Config::default()
    })
    .await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let agent = |id: &str, root: &str| answer(id, "agent@desk.example", &[root]);
    let verified = proven(agent("a1@desk.example", ROOT));
    assert_eq!(world.file(&verified).await.unwrap().id, ticket.id);
    let other = world
        .file(&mail("other@d.example", "matti@d.example"))
        .await
        .unwrap();
    let claimed = agent("a2@desk.example", "other@d.example");
    assert_ne!(world.file(&claimed).await.unwrap().id, other.id);
    // What a list proves of itself says nothing about the author whom it names.
    let third = world
        .file(&mail("third@e.example", "eeva@e.example"))
        .await
        .unwrap();
    let listed = agent("a3@desk.example", "third@e.example");
    let listed = judged(listed, Verdict::Verified);
    assert_ne!(world.file(&listed).await.unwrap().id, third.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_joins_two_threads_on_which_we_work_links_them() {
    let world = World::new().await;
    let one = world.file(&mail("one@c.example", AINO)).await.unwrap();
    let two = world.file(&mail("two@c.example", AINO)).await.unwrap();
    for ticket in [one.id, two.id] {
        world.set_status(ticket, "waiting_on_customer").await;
    }
    let both = answer(
        "b@c.example",
        "boss@c.example",
        &["one@c.example", "two@c.example"],
    );
    assert_eq!(world.file(&both).await.unwrap().id, two.id);
    assert_eq!(
        world.links(two.id).await,
        [(one.id, "same_thread".to_owned())]
    );
    let of_strangers = automatic(
        answer(
            "s@evil.example",
            MALLORY,
            &["one@c.example", "two@c.example"],
        ),
        AutomaticClass::List,
    );
    let apart = world.file(&of_strangers).await.unwrap();
    assert_eq!(
        world.links(apart.id).await,
        [(two.id, "mentions".to_owned())]
    );
}

/// Ways to write onto somebody's ticket with nothing but an id of theirs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_reply_of_no_kind_joins() {
    let world = World::new().await;
    let ticket = world.file(&mail(ROOT, AINO)).await.unwrap();
    let invited = copied(answer("i@c.example", AINO, &[ROOT]), &["partner@p.example"]);
    world.file(&invited).await.unwrap();
    let own_id = |id: &str, text: &str| MessageReceived {
        text: text.to_owned(),
        ..copied(mail(id, MALLORY), &[AINO, "partner@p.example"])
    };
    let forged = [
        // A copied id as the own one, with everybody of the ticket in Cc, as it is and in other letters.
        own_id(ROOT, "a"),
        own_id("i@c.example", "b"),
        own_id("ROOT@C.example", "c"),
        // The ids as references, with the same people in Cc.
        copied(
            answer("f1@evil.example", MALLORY, &[ROOT, "i@c.example"]),
            &[AINO, "partner@p.example"],
        ),
        // The same in the name of another customer, of a failed sender, and as a responder.
        judged(answer("f2@evil.example", AINO, &[ROOT]), Verdict::Failed),
        answer("f3@evil.example", "aino@c.example.evil.example", &[ROOT]),
        tagged("f4@evil.example", MALLORY, &[ticket.number]),
        automatic(
            copied(answer("f5@evil.example", MALLORY, &[ROOT]), &[AINO]),
            AutomaticClass::List,
        ),
    ];
    for (n, message) in forged.iter().enumerate() {
        world.send(std::slice::from_ref(message)).await;
        world.settled().await;
        let on_ticket = world.ticket(ticket.id).await.message_count;
        assert_eq!(on_ticket, 2, "forged reply {n}");
    }
    // Mallory's own mails may meet; the customer's ticket is where it was.
    assert_eq!(world.ticket(ticket.id).await.status, "new");
    // Who belongs there still does.
    let partner = answer("p@p.example", "partner@p.example", &["i@c.example"]);
    assert_eq!(world.file(&partner).await.unwrap().id, ticket.id);
    let more = answer("m@c.example", AINO, &[ROOT]);
    assert_eq!(world.file(&more).await.unwrap().id, ticket.id);
}

/// Nobody brings the tickets of others together, or takes a ticket of theirs onto his own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_merge_nothing() {
    let world = World::new().await;
    let (pekka, list) = ("pekka@h.example", "list-post@l.example");
    let one = world
        .file(&answer("1@c.example", AINO, &[list]))
        .await
        .unwrap();
    let two = world
        .file(&answer("2@h.example", pekka, &[list]))
        .await
        .unwrap();
    let three = world
        .file(&answer("3@evil.example", MALLORY, &[list]))
        .await
        .unwrap();
    let bridges = [
        copied(
            answer(
                "4@evil.example",
                MALLORY,
                &["1@c.example", "2@h.example", "3@evil.example"],
            ),
            &[AINO, pekka],
        ),
        // The post that all of them answered, says Mallory.
        copied(mail(list, MALLORY), &[AINO, pekka]),
        judged(
            answer("5@evil.example", AINO, &["1@c.example", "2@h.example"]),
            Verdict::Failed,
        ),
    ];
    for bridge in &bridges {
        world.send(std::slice::from_ref(bridge)).await;
        world.settled().await;
    }
    assert_eq!(
        world
            .count("SELECT count(*) FROM tickets.ticket_merge")
            .await,
        0
    );
    for ticket in [one, two] {
        assert_eq!(world.ticket(ticket.id).await.message_count, 1);
    }
    assert_ne!(world.ticket(three.id).await.status, "closed");
}
