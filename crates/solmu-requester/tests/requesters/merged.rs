//! Tickets and contacts that become one, and two again.

use solmu_proto::{
    contact::v1::{MergeContactsRequest, UnmergeContactRequest},
    ticket::v1::{MergeTicketsRequest, UnmergeTicketRequest},
    types::v1::{Assurance, Channel as On, IdentityKind},
};
use tonic::Code;
use uuid::Uuid;

use crate::world::{AINO, BEN, World, answering, by_mail, identity, mail, message, signed_in};

impl World {
    async fn merge_tickets(&self, source: Uuid, target: Uuid) {
        let request = self.agent(MergeTicketsRequest {
            source_ids: vec![source.to_string()],
            target_id: target.to_string(),
            ..MergeTicketsRequest::default()
        });
        self.tickets().merge_tickets(request).await.unwrap();
    }

    async fn unmerge_ticket(&self, source: Uuid) {
        let request = self.agent(UnmergeTicketRequest {
            ticket_id: source.to_string(),
            ..UnmergeTicketRequest::default()
        });
        self.tickets().unmerge_ticket(request).await.unwrap();
    }

    /// Merges contacts as the resolver does by what was only claimed.
    async fn guess(&self, winner: Uuid, loser: Uuid) {
        sqlx::query(
            "WITH merge AS (INSERT INTO tickets.contact_merge (id, winner_id, loser_id, rule, evidence, actor_kind, actor_id,
                created_at) VALUES (gen_random_uuid(), $1, $2, 'names_agree', 'phone +358401112223', 3, 'contacts', now()))
             UPDATE tickets.contact SET root_id = $1 WHERE id = $2",
        )
        .bind(winner)
        .bind(loser)
        .execute(self.pool())
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_merged_tickets_are_one_and_come_apart_again() {
    let world = World::new().await;
    let old = world.file(&mail("m1", AINO)).await;
    let kept = world.file(&mail("m2", AINO)).await;
    let aino = by_mail(AINO);
    world.merge_tickets(old, kept).await;
    assert_eq!(world.ids(&aino).await, [kept]);
    assert_eq!(world.get(&aino, old).await.unwrap().id, kept.to_string());
    assert_eq!(
        world.texts(&aino, old).await,
        ["words of m2", "words of m1"]
    );
    world.unmerge_ticket(old).await;
    assert_eq!(world.ids(&aino).await, [kept, old]);
    assert_eq!(world.texts(&aino, old).await, ["words of m1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merge_with_another_customers_ticket_shows_neither_to_the_other() {
    let world = World::new().await;
    let ainos = world.file(&mail("m1", AINO)).await;
    let bens = world.file(&mail("m2", BEN)).await;
    let third = world.file(&mail("m3", BEN)).await;
    let (aino, ben) = (by_mail(AINO), by_mail(BEN));
    world.merge_tickets(ainos, bens).await;
    assert_eq!(world.ids(&aino).await, Vec::<Uuid>::new());
    for ticket in [ainos, bens] {
        let refused = world.get(&aino, ticket).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
    }
    assert_eq!(world.texts(&ben, bens).await, ["words of m2"]);
    // Nor does the id of the other's lead anywhere.
    let refused = world.get(&ben, ainos).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    // One more step: what came by a ticket of theirs is still the other's.
    world.merge_tickets(bens, third).await;
    assert_eq!(
        world.texts(&ben, third).await,
        ["words of m3", "words of m2"]
    );
    assert_eq!(world.ids(&ben).await, [third]);
    // What the first writes follows the merge, as mail does, and is not shown to the second as their own.
    world.file(&answering(mail("m4", AINO), ainos)).await;
    let shown = world.messages(&ben, third).await.unwrap();
    let own = shown
        .iter()
        .filter(|it| it.text == "words of m4")
        .map(solmu_proto::requester::v1::Message::author);
    assert!(own.eq([solmu_proto::requester::v1::message::Author::Participant]));

    world.unmerge_ticket(bens).await;
    world.unmerge_ticket(ainos).await;
    assert_eq!(world.texts(&aino, ainos).await, ["words of m1"]);
    assert_eq!(world.ids(&ben).await, [third, bens]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guess_of_the_resolver_shows_nothing() {
    let world = World::new().await;
    let ainos = world.file(&mail("m1", AINO)).await;
    let bens = world.file(&mail("m2", BEN)).await;
    let (of_aino, of_ben) = (world.contact_of(ainos).await, world.contact_of(bens).await);
    world.guess(of_aino, of_ben).await;
    let (aino, ben) = (by_mail(AINO), by_mail(BEN));
    assert_eq!(world.ids(&aino).await, [ainos]);
    assert_eq!(world.ids(&ben).await, [bens]);
    assert_eq!(
        world.get(&ben, ainos).await.unwrap_err().code(),
        Code::NotFound
    );
    // What comes while they are one for agents stays with who wrote it.
    let later = world.file(&mail("m3", BEN)).await;
    assert_eq!(world.ids(&aino).await, [ainos]);
    assert_eq!(world.ids(&ben).await, [later, bens]);
    let apart = "UPDATE tickets.contact SET root_id = NULL WHERE id = $1";
    world.run(apart, of_ben).await;
    assert_eq!(world.ids(&ben).await, [later, bens]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_makes_two_proven_people_one_and_takes_it_back() {
    let world = World::new().await;
    let mailed = world.file(&mail("m1", AINO)).await;
    let shopper = identity(IdentityKind::External, "c-7", Assurance::Proven);
    let bought = world.file(&message(On::Chat, "m2", "", &[shopper])).await;
    let (first, second) = (
        world.contact_of(mailed).await,
        world.contact_of(bought).await,
    );
    let aino = by_mail(AINO);
    assert_eq!(world.ids(&aino).await, [mailed]);
    let request = world.agent(MergeContactsRequest {
        contact_id: first.to_string(),
        merged_contact_id: second.to_string(),
        ..MergeContactsRequest::default()
    });
    world.contacts().merge_contacts(request).await.unwrap();
    assert_eq!(world.ids(&aino).await, [bought, mailed]);
    assert_eq!(
        world.ids(&signed_in(IdentityKind::External, "c-7")).await,
        [bought, mailed]
    );

    let merge: Uuid =
        sqlx::query_scalar("SELECT id FROM tickets.contact_merge WHERE undone_at IS NULL")
            .fetch_one(world.pool())
            .await
            .unwrap();
    let request = world.agent(UnmergeContactRequest {
        merge_id: merge.to_string(),
        ..UnmergeContactRequest::default()
    });
    world.contacts().unmerge_contact(request).await.unwrap();
    assert_eq!(world.ids(&aino).await, [mailed]);
    assert_eq!(
        world.get(&aino, bought).await.unwrap_err().code(),
        Code::NotFound
    );
}
