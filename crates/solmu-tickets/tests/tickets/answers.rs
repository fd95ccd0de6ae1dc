//! Answers with HTML and files, over the wire.

use solmu_proto::{
    outbound::v1::MessageQueued,
    ticket::v1::{ListMessagesRequest, NewFile, ReplyToTicketRequest},
};
use solmu_tickets::{Answers, Config};
use tonic::Code;

use crate::{
    api_world::{Api, opened, reason},
    support::{Ticket, chat},
};

fn reply(ticket: &Ticket, request_id: &str) -> ReplyToTicketRequest {
    ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        html: "<p onclick=\"x()\">Here is <b>your</b> invoice <img src=\"cid:logo\"></p>"
            .to_owned(),
        request_id: request_id.to_owned(),
        files: vec![
            NewFile {
                filename: "../invoice 7.pdf".to_owned(),
                content_type: "application/pdf".to_owned(),
                data: b"%PDF".to_vec(),
                ..NewFile::default()
            },
            NewFile {
                filename: "logo.png".to_owned(),
                content_type: "image/png".to_owned(),
                data: b"png".to_vec(),
                content_id: "logo".to_owned(),
            },
        ],
        ..ReplyToTicketRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn html_and_files_are_kept_sent_and_shown() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    let request = reply(&ticket, "one");
    let mut calls = api.tickets();
    let first = calls.reply_to_ticket(api.agent(request.clone())).await;
    let first = first.unwrap().into_inner();
    let again = calls.reply_to_ticket(api.agent(request.clone())).await;
    assert_eq!(first, again.unwrap().into_inner());
    assert_eq!(first.text, "Here is your invoice");
    assert!(first.html.contains("<b>your</b>") && !first.html.contains("onclick"));
    let names: Vec<_> = first
        .attachments
        .iter()
        .map(|file| (file.filename.as_str(), file.inline, file.size_bytes))
        .collect();
    assert_eq!(names, [("invoice 7.pdf", false, 4), ("logo.png", true, 3)]);
    let kept = api.world.files.bytes(&first.attachments[0].object_key);
    assert_eq!(kept.as_deref(), Some(&b"%PDF"[..]));

    let queued = api.world.told::<MessageQueued>().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].html, first.html);
    assert_eq!(queued[0].attachments, first.attachments);
    let listed = ListMessagesRequest {
        ticket_id: ticket.id.to_string(),
        ..ListMessagesRequest::default()
    };
    let listed = calls.list_messages(api.agent(listed)).await.unwrap();
    assert_eq!(listed.into_inner().messages.last(), Some(&first));

    // Another file under the same request id is another answer.
    let mut other = request;
    other.files[0].data = b"%PDF-2".to_vec();
    let refused = calls.reply_to_ticket(api.agent(other)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_go_out_is_refused_before_anything_is_stored() {
    let config = Config {
        answers: Answers {
            max_files: 2,
            max_file_bytes: 5 * 1024 * 1024,
        },
        ..Config::default()
    };
    let api = Api::configured(config).await;
    let ticket = opened(&api).await;
    let mut calls = api.tickets();
    // As large as may be, over what a call may have otherwise; then one byte more.
    let mut large = reply(&ticket, "large");
    large.files[0].data = vec![7; 5 * 1024 * 1024 - 3];
    let mut too_large = large.clone();
    calls.reply_to_ticket(api.agent(large)).await.unwrap();
    too_large.request_id = "too large".to_owned();
    too_large.files[0].data.push(7);
    let mut no_image = reply(&ticket, "no image");
    no_image.files.pop();
    let mut no_words = reply(&ticket, "no words");
    no_words.html = "<img src=\"cid:logo\">".to_owned();
    let mut no_name = reply(&ticket, "no name");
    no_name.files[0].filename = "..".to_owned();
    for request in [too_large, no_image, no_words, no_name] {
        let name = request.request_id.clone();
        let refused = calls.reply_to_ticket(api.agent(request)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}: {refused}");
    }

    // What is no mail carries no files; its text and nothing else goes out.
    let chatting = api.world.file(&chat("c-1", "visitor-1")).await.unwrap();
    let refused = calls.reply_to_ticket(api.agent(reply(&chatting, "chat")));
    assert_eq!(reason(&refused.await.unwrap_err()), "FILES_NOT_CARRIED");
    let answers = "SELECT count(*) FROM tickets.message WHERE author_kind <> 1";
    assert_eq!(api.world.count(answers).await, 1);
}
