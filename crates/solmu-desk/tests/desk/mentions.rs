//! Whom notes mention.

use solmu_proto::ticket::v1::{
    AddNoteRequest, GetTicketRequest, ListMessagesRequest, Message, ReplyToTicketRequest,
    TicketChanged, TicketMessageAdded,
};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::support::{Api, Ticket, fields, opened};

const VILLE: Uuid = Uuid::from_u128(501);
const AINO: Uuid = Uuid::from_u128(502);

async fn note(api: &Api, ticket: &Ticket, text: &str, lenient: bool) -> Result<Message, Status> {
    let request = AddNoteRequest {
        ticket_id: ticket.id.to_string(),
        text: text.to_owned(),
        allow_unknown_mentions: lenient,
        ..AddNoteRequest::default()
    };
    let call = api.tickets().add_note(api.agent(request)).await;
    call.map(tonic::Response::into_inner)
}

async fn followers(api: &Api, ticket: &Ticket) -> Vec<String> {
    let request = GetTicketRequest {
        id: ticket.id.to_string(),
    };
    let shown = api.tickets().get_ticket(api.admin(request)).await;
    let mut followers = shown.unwrap().into_inner().follower_ids;
    followers.sort();
    followers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_note_mentions_follows_and_is_told() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    // A desk that knows no roster has nobody to mention.
    let free = note(&api, &ticket, "ask @anybody", false).await.unwrap();
    assert!(free.mentioned_agent_ids.is_empty());

    let world = &api.world;
    world
        .hire(VILLE, "Ville Virtanen", "ville@desk.example")
        .await;
    world.hire(AINO, "Aino Mäki", "aino@desk.example").await;
    let text = "@aino.mäki and @Ville, please; cc a@b.example, @ville@desk.example";
    let written = note(&api, &ticket, text, false).await.unwrap();
    let both = [AINO.to_string(), VILLE.to_string()];
    assert_eq!(written.mentioned_agent_ids, both);
    let mut sorted = both.clone().to_vec();
    sorted.sort();
    assert_eq!(followers(&api, &ticket).await, sorted);
    let told = world.told::<TicketMessageAdded>().await;
    let fact = told.last().unwrap().message.clone().unwrap();
    assert_eq!(
        (fact.mentioned_agent_ids, fact.public),
        (both.to_vec(), false)
    );
    let changed = world.told::<TicketChanged>().await;
    let last = changed.last().unwrap();
    assert_eq!((last.changes.len(), last.reason.as_str()), (2, "mentioned"));

    // Who follows already is mentioned and told again, and follows once.
    let again = note(&api, &ticket, "@ville?", false).await.unwrap();
    assert_eq!(again.mentioned_agent_ids, [VILLE.to_string()]);
    assert_eq!(world.told::<TicketChanged>().await.len(), changed.len());
    assert_eq!(followers(&api, &ticket).await.len(), 2);
    let request = ListMessagesRequest {
        ticket_id: ticket.id.to_string(),
        ..ListMessagesRequest::default()
    };
    let page = api
        .tickets()
        .list_messages(api.agent(request))
        .await
        .unwrap();
    let mentions = page.into_inner().messages.into_iter();
    let mentions: Vec<usize> = mentions.map(|it| it.mentioned_agent_ids.len()).collect();
    assert_eq!(mentions, [0, 0, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_nobodys_is_refused_in_notes_and_text_in_answers() {
    let api = Api::new().await;
    let ticket = opened(&api).await;
    api.world
        .hire(VILLE, "Ville Virtanen", "ville@desk.example")
        .await;
    let before = api.world.ticket(ticket.id).await;
    let refused = note(&api, &ticket, "@vile and @pekka, look", false).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(fields(&refused), ["text", "text"]);
    assert_eq!(
        api.world.ticket(ticket.id).await,
        before,
        "nothing was written"
    );

    let lenient = note(&api, &ticket, "@home with @ville", true)
        .await
        .unwrap();
    assert_eq!(lenient.mentioned_agent_ids, [VILLE.to_string()]);

    let reply = ReplyToTicketRequest {
        ticket_id: ticket.id.to_string(),
        text: "write to @pekka or @ville".to_owned(),
        ..ReplyToTicketRequest::default()
    };
    let reply = api.tickets().reply_to_ticket(api.agent(reply)).await;
    assert!(reply.unwrap().into_inner().mentioned_agent_ids.is_empty());
}
