//! Agents' answers by mail, from their bytes: what the reader makes of them is what is sent or not.

use solmu_domain::{
    ids::{MessageId, TicketId},
    signed::Signer,
};
use solmu_mime::{
    address::Address,
    parse::{ParseLimits, parse},
    quotes,
    reply_address::{ReplyAddress, ticket_of_address},
    threading::external_id,
};
use solmu_proto::{
    inbound::v1::MessageReceived,
    outbound::v1::MessageQueued,
    types::v1::{Mailbox, actor::Kind},
};
use uuid::Uuid;

use crate::{
    agent_mail::{AINO, VILLE, opened, proven, stored, world},
    support::mail,
};

fn signer() -> Signer {
    Signer::new([("a".to_owned(), vec![1; 32])]).unwrap()
}

/// The address at which agents and customers answer on `ticket`.
pub(crate) fn reply_address(ticket: Uuid) -> String {
    let base = Address::parse("support@solmu.example").unwrap();
    let reply = ReplyAddress::new(base, &signer()).unwrap();
    reply.for_ticket(TicketId::from_uuid(ticket), &signer())
}

/// What the connector makes of the bytes of a mail from `from` that came to `account`.
pub(crate) fn read(account: &str, from: &str, raw: &str) -> MessageReceived {
    let raw = format!("From: {from}\n{raw}").replace('\n', "\r\n");
    let parsed = parse(raw.as_bytes(), &ParseLimits::default());
    let id = external_id(&parsed);
    let offsets = quotes::find(&parsed.text).in_characters(&parsed.text);
    let written = parsed.to.iter().chain(&parsed.cc);
    let signed: Vec<String> = written
        .filter_map(|it| ticket_of_address(&Address::parse(&it.address).ok()?, &signer()))
        .map(|ticket| ticket.to_string())
        .collect();
    let mailbox = |it: &solmu_mime::mail::Mailbox| Mailbox {
        name: it.name.clone(),
        address: it.address.clone(),
    };
    let mut message = MessageReceived {
        message_id: MessageId::of_inbound("email", account, &id).to_string(),
        account: account.to_owned(),
        to: parsed.to.iter().map(mailbox).collect(),
        cc: parsed.cc.iter().map(mailbox).collect(),
        subject: parsed.subject.clone(),
        text: parsed.text.clone(),
        html: parsed.html.clone(),
        quote_offset: offsets.quote.and_then(|at| u32::try_from(at).ok()),
        signature_offset: offsets.signature.and_then(|at| u32::try_from(at).ok()),
        sent_time: parsed.date.map(solmu_bus::envelope::to_proto_time),
        ..mail(&id, from)
    };
    let threading = message.threading.as_mut().unwrap();
    threading.signed_ticket_ids.clone_from(&signed);
    threading.addressed_ticket_ids = signed;
    threading.subject_ticket_numbers =
        solmu_mime::threading::subject_ticket_numbers(&parsed.subject);
    message
}

/// An agent's proven mail to the reply address of a ticket.
fn answer(id: u8, ticket: Uuid, body: &str) -> MessageReceived {
    let to = reply_address(ticket);
    let head = "Subject: Re: Help\nDate: Mon, 2 Nov 2026 08:00:00 +0000";
    let raw = format!("To: {to}\nMessage-ID: <a{id}@desk.example>\n{head}\n{body}");
    proven(read("main", VILLE, &raw))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agents_mail_quotes_is_never_sent() {
    let world = world().await;
    let ticket = opened(&world).await;
    let html = "Content-Type: text/html\n\n<html><body><p></p><div><b>From:</b> Boss<br><b>Sent:</b> now<br>\
        <b>To:</b> Ville<br><b>Subject:</b> x</div><p>SECRET</p></body></html>\n";
    let cases = [
        (
            "\n\n\n________________________________\nFrom: Boss\nSent: x\nTo: y\nSubject: z\n\nSECRET\n",
            "nothing new",
        ),
        (
            "\n-- \nVille\n\n-----Original Message-----\nFrom: Boss <b@desk.example>\nSent: x\nTo: y\nSubject: z\n\nSECRET\n",
            "nothing new",
        ),
        (
            "\nSent from my iPhone\n\nOn 22 Nov 2026, at 23:20, Boss <b@desk.example> wrote:\n\nSECRET\n",
            "nothing new",
        ),
        ("\n> SECRET\n> more\n", "nothing new"),
        (html, "nothing new"),
        ("\n", "nothing new"),
        (
            "\n> SECRET from boss\nyes\n> SECRET\nno\n",
            "between or below",
        ),
        (
            "\nHello.\n\nBoss <b@desk.example> wrote:\n\nSECRET\n",
            "may introduce",
        ),
    ];
    for (index, (body, why)) in (0u8..).zip(cases) {
        let sent = answer(index, ticket.id, body);
        assert_eq!(world.file(&sent).await.unwrap().id, ticket.id);
        let (kind, public, text, notices) = stored(&world, &sent).await;
        assert_eq!(
            (i32::from(kind), public),
            (Kind::Agent.into(), false),
            "{body}"
        );
        assert_eq!(text, sent.text, "what is stored is the whole");
        assert!(
            notices[0].contains(why) && notices[0].contains("not sent"),
            "{body}: {notices:?}"
        );
        assert!(
            notices[0].contains("to the same address"),
            "how to answer: {notices:?}"
        );
    }
    assert!(world.told::<MessageQueued>().await.is_empty());
    assert_eq!(world.ticket(ticket.id).await.status, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_says_what_was_not_sent() {
    let world = world().await;
    let ticket = opened(&world).await;
    let cases = [
        (
            "\nPlease do this:\n\n--\nStep 1\nStep 2\n",
            "Please do this:\n\n--\nStep 1\nStep 2",
            None,
        ),
        (
            "\nDone.\n\nOn Monday, Aino wrote:\n> SECRET\n",
            "Done.",
            None,
        ),
        (
            "\nDone.\n\n-- \nVille\n",
            "Done.",
            Some("not sent to the customer: the signature (2 lines)"),
        ),
        (
            "\nDone.\n\n-----Original Message-----\nFrom: Boss\nSent: x\nSubject: z\n\nSECRET\n",
            "Done.",
            Some(
                "not sent to the customer: what stands from line 3 on (5 lines without a mark of quoting)",
            ),
        ),
    ];
    for (index, (body, text, notice)) in (0u8..).zip(cases) {
        let sent = answer(index, ticket.id, body);
        world.file(&sent).await.unwrap();
        let queued = world.told::<MessageQueued>().await;
        assert_eq!(queued.len(), usize::from(index) + 1);
        assert_eq!(queued[usize::from(index)].text, text);
        assert_eq!(
            queued[usize::from(index)].recipient.as_ref().unwrap().value,
            AINO
        );
        let (_, public, whole, notices) = stored(&world, &sent).await;
        assert!(public && whole == sent.text);
        assert_eq!(notices.first().map(String::as_str), notice);
        // Pages that show the message to others show what was sent.
        let shown: String = sqlx::query_scalar(
            "SELECT left(body_text, coalesce(least(quote_offset, signature_offset), length(body_text)))
             FROM tickets.message WHERE id = $1",
        )
        .bind(Uuid::parse_str(&sent.message_id).unwrap())
        .fetch_one(world.pool())
        .await
        .unwrap();
        assert_eq!(shown.trim(), text);
    }
}
