//! Mail servers send again what they are not sure of: one mail is one message, however often it comes.

use solmu_client::proto::contact::v1::ListContactsRequest;

use crate::support::{Api, Home, Letter, Ports, Settings, Smtp, Solmu};

const CONNECTIONS: usize = 3;
const COPIES: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_copies_over_three_connections_are_one_message() {
    let (home, ports) = (Home::new(), Ports::free());
    Settings::default().write(&home);
    let (solmu, _) = Solmu::start(&home, "solmu", ports, &[]).await;
    let letter = Letter::new(
        "aino@customer.example",
        "Broken cup",
        "One of the cups is broken.",
    );

    let sending = (0..CONNECTIONS).map(|number| {
        let letter = letter.clone();
        async move {
            let mut smtp = Smtp::open(ports.smtp).await.unwrap();
            for _ in (number..COPIES).step_by(CONNECTIONS) {
                assert_eq!(smtp.send(&letter).await.unwrap().code, 250);
            }
        }
    });
    futures::future::join_all(sending).await;
    // The answer comes after all copies in the order of the conversation: once it is filed, they are done.
    let mut answer = Letter::new(
        "aino@customer.example",
        "Re: Broken cup",
        "I found the invoice.",
    );
    answer.in_reply_to = Some(letter.message_id.clone());
    answer.references = vec![letter.message_id.clone()];
    let mut smtp = Smtp::open(ports.smtp).await.unwrap();
    assert_eq!(smtp.send(&answer).await.unwrap().code, 250);

    let api = Api::agent(&home, &solmu);
    let ticket = api
        .ticket("the answer is filed", |ticket| ticket.message_count >= 2)
        .await;
    let messages = api.with_messages(&ticket.id, 2).await;
    let ids: Vec<_> = messages
        .iter()
        .map(|message| message.external_id.as_str())
        .collect();
    assert_eq!(
        ids,
        [letter.message_id.as_str(), answer.message_id.as_str()]
    );
    assert_eq!(api.tickets().await.len(), 1);
    let contacts = api
        .client
        .contacts()
        .list_contacts(ListContactsRequest::default())
        .await
        .unwrap()
        .into_inner()
        .contacts;
    assert_eq!(contacts.len(), 1);
    solmu.stop().await;
}
