//! Fields of contacts in rules, and what an erasure leaves, on the real engines.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use solmu_domain::ids::{ContactId, EventId};
use solmu_inquiry::Owns;
use solmu_proto::{
    contact::v1::{ContactAttribute, contact_attribute::Type},
    routing::v1::{self as proto, routing_service_server::RoutingService as _},
};
use tonic::Code;
use uuid::Uuid;

use super::{
    engine::{Bench, held, next},
    support::{FakeTexts, admin, service},
};
use crate::{
    Config, RoutingTexts,
    core::{
        answers::OwnChange,
        event::{Erasure, Heard, What},
        testing::{at, event, facts},
        ticket::Facts,
    },
    engine::{Arrived, Engine},
};

const CONTACT: u128 = 5;

fn contact() -> ContactId {
    ContactId::from_uuid(Uuid::from_u128(CONTACT))
}

fn tier(value: &str) -> Owns {
    let values = BTreeMap::from([("contact.fields.tier".to_owned(), vec![value.to_owned()])]);
    Owns {
        contacts: HashMap::from([(contact().as_uuid(), values)]),
        ..Owns::default()
    }
}

fn theirs(second: i64) -> Facts {
    let mut facts = facts(second);
    facts.contact = Some(contact());
    facts
}

struct World {
    bench: Bench,
    texts: Arc<FakeTexts>,
    engine: Arc<Engine>,
    gold: String,
    support: String,
}

impl World {
    /// Nobody is free, and customers of the tier gold have a team of their own.
    async fn new() -> Self {
        let bench = Bench::new(1).await;
        let texts = Arc::new(FakeTexts::default());
        *texts.attributes.lock().unwrap() = vec![ContactAttribute {
            name: "tier".to_owned(),
            r#type: Type::Choice.into(),
            choices: vec!["gold".to_owned(), "iron".to_owned()],
            ..ContactAttribute::default()
        }];
        let runtime = bench.harness.runtime("api");
        let service = service(&runtime, Some(texts.clone()));
        let teams = service.list_teams(admin(proto::ListTeamsRequest::default()));
        let support = teams.await.unwrap().into_inner().teams[0].id.clone();
        let team = proto::Team {
            display_name: "Gold".to_owned(),
            ..proto::Team::default()
        };
        let made = service.create_team(admin(proto::CreateTeamRequest {
            team: Some(team),
            ..proto::CreateTeamRequest::default()
        }));
        let gold = made.await.unwrap().into_inner().id;
        let rule = |condition: &str| proto::CreateRuleRequest {
            rule: Some(proto::Rule {
                display_name: "gold".to_owned(),
                condition: condition.to_owned(),
                team_id: gold.clone(),
                enabled: true,
                ..proto::Rule::default()
            }),
            ..proto::CreateRuleRequest::default()
        };
        for wrong in ["contact.fields.teir = gold", "contact.fields.tier = silver"] {
            let refused = service.create_rule(admin(rule(wrong))).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
        }
        let right = rule("contact.fields.tier = gold");
        service.create_rule(admin(right.clone())).await.unwrap();
        // Where nobody can be asked, it cannot hold.
        let alone = super::support::service(&bench.harness.runtime("alone"), None);
        let refused = alone.create_rule(admin(right)).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let engine = Self::engine_of(&bench, &texts, "a");
        let world = Self {
            bench,
            texts,
            engine,
            gold,
            support,
        };
        // The only agent has something to do, so that all else waits.
        *world.texts.owns.lock().unwrap() = Some(Owns::default());
        world.round(vec![world.bench.opened(9)]).await;
        assert_eq!(world.bench.load().await.0, 1);
        *world.texts.owns.lock().unwrap() = None;
        world
    }

    fn engine_of(bench: &Bench, texts: &Arc<FakeTexts>, name: &str) -> Arc<Engine> {
        let runtime = bench.harness.runtime(name);
        let texts = Arc::clone(texts) as Arc<dyn RoutingTexts>;
        Arc::new(Engine::new(&runtime, &Config::default(), texts))
    }

    fn heard(&self, heard: Heard) -> Arrived {
        let id = EventId::generate(&self.bench.harness.clock, self.bench.harness.rng.as_ref());
        (id, heard)
    }

    async fn round(&self, arrived: Vec<Arrived>) {
        self.engine.round(arrived, &held(1)).await.unwrap();
    }

    /// Team of the route and custom fields of a ticket, as stored.
    async fn stored(&self, id: u128) -> (Option<String>, String) {
        sqlx::query_as(
            "SELECT route ->> 'team', fields::text FROM routing.ticket WHERE ticket_id = $1",
        )
        .bind(Uuid::from_u128(id))
        .fetch_one(self.bench.harness.db.pool())
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn rules_on_contacts_wait_for_them_and_hear_of_changes() {
    let world = World::new().await;
    let opened = world.bench.arrived(event(1, &theirs(1), What::Told, 1));
    world.round(vec![opened]).await;
    assert_eq!(world.stored(1).await.0, None, "the ticket service is away");
    *world.texts.owns.lock().unwrap() = Some(tier("iron"));
    world.round(Vec::new()).await;
    assert_eq!(world.stored(1).await.0.as_ref(), Some(&world.support));
    {
        let asked = world.texts.asked.lock().unwrap();
        let last = asked.last().unwrap();
        let fields: Vec<&str> = last.fields.names().collect();
        assert_eq!(
            fields,
            ["contact.fields.tier"],
            "what a rule looks at, no more"
        );
        assert!(last.contacts.contains(&contact().as_uuid()));
    }
    // They rise. Whoever leads next finds it in the tables, should this one die before it has asked.
    *world.texts.owns.lock().unwrap() = None;
    let change = |fields: &str| {
        world.heard(Heard::Own(OwnChange {
            contacts: HashSet::from([contact()]),
            organizations: HashSet::new(),
            fields: Some(vec![fields.to_owned()]),
        }))
    };
    let risen = change("contact.fields.tier");
    world.round(vec![risen.clone(), risen]).await;
    *world.texts.owns.lock().unwrap() = Some(tier("gold"));
    let other = World::engine_of(&world.bench, &world.texts, "b");
    world.bench.take_over(2).await;
    other.round(Vec::new(), &held(2)).await.unwrap();
    other.round(Vec::new(), &held(2)).await.unwrap();
    assert_eq!(world.stored(1).await.0.as_ref(), Some(&world.gold));
}

#[tokio::test]
async fn an_erased_contact_leaves_no_custom_fields() {
    let world = World::new().await;
    *world.texts.owns.lock().unwrap() = Some(Owns::default());
    let with_note = |facts: &mut Facts| {
        facts
            .fields
            .insert("note".to_owned(), vec!["Aino's leg".to_owned()]);
    };
    let mut open = theirs(1);
    with_note(&mut open);
    let mut done = open.clone();
    done.status = solmu_domain::ticket::Status::Closed;
    let mut others = facts(1);
    with_note(&mut others);
    let events = [(1, &open), (2, &done), (3, &others)];
    let arrived = events.map(|(id, facts)| world.bench.arrived(event(id, facts, What::Told, 1)));
    world.round(arrived.into()).await;
    for id in [1, 2, 3] {
        assert!(world.stored(id).await.1.contains("leg"), "{id}");
    }
    let erased = world.heard(Heard::Erased(Erasure {
        contacts: vec![contact()],
        at: at(10),
    }));
    // A change of the time before comes with it, one of later, and the opening of a ticket that was stuck somewhere.
    let late = next(&open, |facts| facts.tags.push("late".to_owned()));
    let later = next(&late, |facts| {
        facts.fields = BTreeMap::from([("tier".to_owned(), vec!["gold".to_owned()])]);
    });
    let arrived = vec![
        world.bench.arrived(event(4, &open, What::Told, 2)),
        erased,
        world.bench.arrived(event(1, &late, What::Told, 9)),
    ];
    world.round(arrived).await;
    for id in [1, 2, 4] {
        assert_eq!(world.stored(id).await.1, "{}", "{id}");
    }
    assert!(world.stored(3).await.1.contains("leg"), "somebody else's");
    // A leader that reads its tables anew knows no more, nor does an event out of the dead letters bring it back.
    world.bench.take_over(2).await;
    let other = World::engine_of(&world.bench, &world.texts, "b");
    let mut stuck = theirs(1);
    with_note(&mut stuck);
    let dead = world.bench.arrived(event(5, &stuck, What::Told, 3));
    other.round(vec![dead], &held(2)).await.unwrap();
    assert_eq!(world.stored(5).await.1, "{}");
    {
        let kept = other.known.lock().unwrap();
        let tickets = kept.as_ref().unwrap().state.tickets();
        let mut of_them = tickets.filter(|it| it.facts.contact == Some(contact()));
        assert!(of_them.all(|it| it.facts.fields.is_empty()));
    }
    // What the desk sets after that is the desk's.
    let after = world.bench.arrived(event(1, &later, What::Told, 11));
    other.round(vec![after], &held(2)).await.unwrap();
    assert!(world.stored(1).await.1.contains("gold"));
}

#[tokio::test]
async fn explaining_and_trying_show_what_rules_found() {
    let world = World::new().await;
    *world.texts.owns.lock().unwrap() = Some(tier("iron"));
    let opened = world.bench.arrived(event(1, &theirs(1), What::Told, 1));
    world.round(vec![opened]).await;
    let service = service(&world.bench.harness.runtime("x"), Some(world.texts.clone()));
    let explain = async || {
        let request = proto::ExplainRoutingRequest {
            ticket_id: Uuid::from_u128(1).to_string(),
        };
        let answer = service.explain_routing(admin(request)).await;
        answer.unwrap().into_inner()
    };
    let answer = explain().await;
    let rule = &answer.rules[0];
    assert!(!rule.holds && answer.rules_missing.is_empty());
    assert_eq!(
        rule.why,
        "It does not match, because contact.fields.tier = \"gold\" does not hold (contact.fields.tier is \"iron\")."
    );
    let tried = proto::DryRunRuleRequest {
        rule: Some(proto::Rule {
            display_name: "iron".to_owned(),
            condition: "contact.fields.tier = iron".to_owned(),
            team_id: world.gold.clone(),
            enabled: true,
            ..proto::Rule::default()
        }),
        tickets: 5,
    };
    let answer = service
        .dry_run_rule(admin(tried))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.changes.len(), 1);
    assert!(answer.changes[0].why.contains("is \"iron\""), "{answer:?}");
    *world.texts.owns.lock().unwrap() = None;
    let answer = explain().await;
    assert!(answer.rules.is_empty());
    assert!(answer.rules_missing.contains("contacts"), "{answer:?}");
}
