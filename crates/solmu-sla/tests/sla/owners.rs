//! Policies that look at fields of contacts and organisations, and what an erasure leaves.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use jiff::{SignedDuration, Timestamp};
use solmu_bus::{Event, EventBody, envelope::to_proto_time};
use solmu_domain::{clock::Clock as _, ids::EventId};
use solmu_inquiry::{Answer, Asked, Inquiry, InquiryError, Owns};
use solmu_proto::{
    contact::v1::{
        ContactAttribute, ContactChanged, ContactErased, OrganizationChanged,
        contact_attribute::{Subject, Type},
    },
    sla::v1::{ActionKind, CreatePolicyRequest, ExplainTicketRequest, Policy, Step, step::At},
    ticket::v1::{FieldDefinition, FieldValue, field_definition::Kind},
    types::v1::TicketStatus,
};
use solmu_runtime::access::Role;
use solmu_sla::Config;
use solmu_testkit::{Harness, wait_for};
use tonic::Code;
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    moves::{ALWAYS, calendar, create, due_first, target},
    support::{Node, Ticket, decided_after, decisions, done, last_decision, minutes, publish},
};

const HOUR: i32 = 3_600;
const AINO: Uuid = Uuid::from_u128(0x0198_c5d2_7a10_7bb2_8e4f_0242_ac12_0011);
const ACME: Uuid = Uuid::from_u128(0x0198_c5d2_7a10_7bb2_8e4f_0242_ac12_0012);

/// The ticket service, as far as it is asked; away when it knows nothing.
#[derive(Default)]
struct Tickets {
    owns: Mutex<Option<Owns>>,
    asked: Mutex<Vec<Asked>>,
}

impl Tickets {
    fn knows(&self, tier: &str, plan: &str) {
        let one =
            |field: &str, value: &str| BTreeMap::from([(field.to_owned(), vec![value.to_owned()])]);
        *self.owns.lock().unwrap() = Some(Owns {
            contacts: HashMap::from([(AINO, one("contact.fields.tier", tier))]),
            organizations: HashMap::from([(ACME, one("organization.fields.plan", plan))]),
        });
    }
}

impl Inquiry for Tickets {
    fn is_configured(&self) -> bool {
        true
    }

    fn values<'a>(&'a self, asked: &'a Asked) -> Answer<'a, Owns> {
        self.asked.lock().unwrap().push(asked.clone());
        let away = || InquiryError::Refused(Box::new(tonic::Status::unavailable("away")));
        let known = self.owns.lock().unwrap().clone();
        Box::pin(std::future::ready(known.ok_or_else(away)))
    }

    fn fields(&self) -> Answer<'_, Vec<FieldDefinition>> {
        let amount = FieldDefinition {
            key: "amount".to_owned(),
            kind: Kind::Number.into(),
            ..FieldDefinition::default()
        };
        Box::pin(std::future::ready(Ok(vec![amount])))
    }

    fn attributes(&self, of: Subject) -> Answer<'_, Vec<ContactAttribute>> {
        let name = match of {
            Subject::Organization => "plan",
            Subject::Contact | Subject::Unspecified => "tier",
        };
        let attribute = ContactAttribute {
            name: name.to_owned(),
            r#type: Type::Text.into(),
            ..ContactAttribute::default()
        };
        Box::pin(std::future::ready(Ok(vec![attribute])))
    }

    fn agents(&self) -> Answer<'_, Vec<Uuid>> {
        Box::pin(std::future::ready(Ok(vec![AINO])))
    }
}

fn after_hours(from: Timestamp, hours: i64) -> Timestamp {
    from + SignedDuration::from_hours(hours)
}

struct World {
    harness: Harness,
    tickets: Arc<Tickets>,
    node: Node,
    calendar: String,
}

impl World {
    async fn new() -> Self {
        let harness = Harness::new().await;
        let tickets = Arc::new(Tickets::default());
        let node = Self::node(&harness, &tickets, "a").await;
        let calendar = calendar(&node, ALWAYS).await.id;
        Self {
            harness,
            tickets,
            node,
            calendar,
        }
    }

    async fn node(harness: &Harness, tickets: &Arc<Tickets>, name: &str) -> Node {
        let clock = Arc::new(harness.clock.clone());
        let inquiry = Arc::clone(tickets) as Arc<dyn Inquiry>;
        Node::asking(harness, name, clock, Config::default(), inquiry).await
    }

    fn wanted(&self, condition: &str, hours: i32) -> Policy {
        Policy {
            condition: condition.to_owned(),
            on_edit: "from_now_on".to_owned(),
            position: hours,
            targets: target(hours * HOUR, 24 * HOUR),
            calendar_id: self.calendar.clone(),
            ..Policy::default()
        }
    }

    async fn policy(&self, condition: &str, hours: i32) {
        create(&self.node, self.wanted(condition, hours)).await;
    }

    /// A ticket of Aino's, who works for Acme.
    fn ticket(&self) -> Ticket {
        let mut ticket = Ticket::new(&self.harness);
        ticket.state.contact_id = AINO.to_string();
        ticket.state.organization_ids = vec![ACME.to_string()];
        ticket
    }

    fn event<B: EventBody>(&self, body: &B) -> Event {
        let id = EventId::generate(&self.harness.clock, self.harness.rng.as_ref());
        Event::new(id, self.harness.clock.now(), body)
    }

    /// What is stored of a ticket's facts.
    async fn stored(&self, ticket: &Ticket) -> String {
        sqlx::query_scalar(
            "SELECT coalesce(facts::text, '') || coalesce(unpromised::text, '') FROM sla.ticket_clock WHERE ticket_id = $1",
        )
        .bind(ticket.id().parse::<Uuid>().unwrap())
        .fetch_one(self.harness.db.pool())
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn policies_see_contacts_and_organisations_and_hear_of_their_changes() {
    let world = World::new().await;
    let harness = &world.harness;
    world.policy("contact.fields.tier = gold", 1).await;
    world.policy("organization.fields.plan = \"pro*\"", 2).await;
    world.policy("", 8).await;
    world.tickets.knows("iron", "basic");
    let opened = harness.clock.now();
    let mut ticket = world.ticket();
    let decided = decided_after(harness, &[ticket.opened()]).await;
    let due = |hours| Some(to_proto_time(after_hours(opened, hours)));
    assert_eq!(decided.first_response_due_time, due(8));
    {
        let asked = world.tickets.asked.lock().unwrap();
        let last = asked.last().unwrap();
        let fields: Vec<&str> = last.fields.names().collect();
        assert_eq!(fields, ["contact.fields.tier", "organization.fields.plan"]);
        assert!(last.contacts.contains(&AINO) && last.organizations.contains(&ACME));
    }
    // The company buys more, and the open ticket of its people has another promise from then on.
    world.tickets.knows("iron", "professional");
    let bought = world.event(&OrganizationChanged {
        organization_id: ACME.to_string(),
        fields: vec!["organization.fields.plan".to_owned()],
        change_time: None,
    });
    publish(harness, &[bought]).await;
    due_first(harness, &ticket, after_hours(opened, 2)).await;
    world.tickets.knows("gold", "professional");
    let before = decisions(harness).await.len();
    let risen = |fields: &str| {
        world.event(&ContactChanged {
            contact_id: AINO.to_string(),
            contact_ids: vec![AINO.to_string()],
            fields: vec![fields.to_owned()],
            change_time: None,
        })
    };
    publish(harness, &[risen("contact.language")]).await;
    assert_eq!(
        decisions(harness).await.len(),
        before,
        "no policy looks at it"
    );
    publish(harness, &[risen("contact.fields.tier")]).await;
    due_first(harness, &ticket, after_hours(opened, 1)).await;
    // Nothing of it is kept, and the explanation asks anew.
    assert!(!world.stored(&ticket).await.contains("gold"));
    let request = ExplainTicketRequest {
        ticket_id: ticket.id(),
    };
    let explained = world.node.client(Role::Agent).explain_ticket(request).await;
    let asked = explained.unwrap().into_inner().asked;
    let held: Vec<bool> = asked.iter().map(|it| it.holds).collect();
    assert_eq!(held, [true, true, true]);
    assert!(
        asked[0].why.contains("contact.fields.tier is \"gold\""),
        "{asked:?}"
    );
    world.node.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_waits_and_all_else_goes_on() {
    let world = World::new().await;
    let harness = &world.harness;
    world.policy("contact.fields.tier = gold", 1).await;
    world.tickets.knows("gold", "");
    let opened = harness.clock.now();
    let mut first = world.ticket();
    decided_after(harness, &[first.opened()]).await;
    *world.tickets.owns.lock().unwrap() = None;
    let mut second = world.ticket();
    let waits = second.opened();
    let asked = world.tickets.asked.lock().unwrap().len();
    harness
        .bus
        .publish(std::slice::from_ref(&waits))
        .await
        .unwrap();
    // An event that needs nobody's fields.
    publish(
        harness,
        &[first.status(minutes(harness, 1), TicketStatus::Resolved)],
    )
    .await;
    wait_for("the ticket service was asked in vain", || async {
        world.tickets.asked.lock().unwrap().len() > asked
    })
    .await;
    assert!(last_decision(harness, &second).await.is_none());
    world.tickets.knows("gold", "");
    done(harness, &[waits]).await;
    due_first(harness, &second, after_hours(opened, 1)).await;
    world.node.stop().await;
}

#[tokio::test]
async fn steps_for_agents_who_are_not_there_are_refused() {
    let world = World::new().await;
    let mut admin = world.node.client(Role::Admin);
    let step = |action: ActionKind, target: String| Step {
        at: Some(At::AfterSeconds(0)),
        action: action.into(),
        target,
        ..Step::default()
    };
    let policy = |steps| CreatePolicyRequest {
        policy: Some(Policy {
            display_name: "Steps".to_owned(),
            steps,
            ..world.wanted("", 1)
        }),
        validate_only: true,
    };
    let known = vec![
        step(ActionKind::AddFollower, AINO.to_string()),
        step(ActionKind::Notify, "team_lead".to_owned()),
        step(ActionKind::Reassign, format!("team:{ACME}")),
    ];
    admin.create_policy(policy(known.clone())).await.unwrap();
    let unknown = vec![
        step(ActionKind::AddFollower, ACME.to_string()),
        step(ActionKind::Notify, ACME.to_string()),
        step(ActionKind::Reassign, format!("agent:{ACME}")),
    ];
    let both = [known, unknown].concat();
    let refused = admin.create_policy(policy(both)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let details = refused.get_error_details();
    let fields = details.bad_request().unwrap().field_violations.iter();
    let fields: Vec<&str> = fields.map(|it| it.field.as_str()).collect();
    let wanted = [
        "policy.steps[3].target",
        "policy.steps[4].target",
        "policy.steps[5].target",
    ];
    assert_eq!(fields, wanted);
    world.node.stop().await;
}

#[tokio::test]
async fn conditions_on_own_fields_are_checked_when_they_are_saved() {
    let world = World::new().await;
    let mut admin = world.node.client(Role::Admin);
    for (condition, right) in [
        ("fields.amount > 5 AND contact.fields.tier = gold", true),
        ("organization.fields.plan:* AND contact.language = fi", true),
        ("fields.amuont > 5", false),
        ("fields.amount = many", false),
        ("contact.fields.plan = gold", false),
        ("organization.fields.tier = gold", false),
    ] {
        let policy = Some(Policy {
            display_name: "Policy".to_owned(),
            ..world.wanted(condition, 1)
        });
        let made = admin
            .create_policy(CreatePolicyRequest {
                policy,
                validate_only: true,
            })
            .await;
        match made {
            Ok(_) => assert!(right, "{condition}"),
            Err(status) => {
                assert!(!right, "{condition}: {status}");
                assert_eq!(status.code(), Code::InvalidArgument);
            }
        }
    }
    let alone = Node::start(&world.harness, "alone").await;
    let policy = Some(Policy {
        display_name: "Policy".to_owned(),
        ..world.wanted("contact.fields.tier = gold", 1)
    });
    let refused = alone
        .client(Role::Admin)
        .create_policy(CreatePolicyRequest {
            policy,
            validate_only: true,
        })
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    alone.stop().await;
    world.node.stop().await;
}

#[tokio::test]
async fn an_erased_contact_leaves_no_custom_fields() {
    let world = World::new().await;
    let harness = &world.harness;
    world.policy("tags:promised", 1).await;
    let note = |value: &str| {
        vec![FieldValue {
            key: "note".to_owned(),
            values: vec![value.to_owned()],
        }]
    };
    let (mut bare, mut promised) = (world.ticket(), world.ticket());
    let mut somebody = Ticket::new(harness);
    promised.state.tags.push("promised".to_owned());
    for ticket in [&mut bare, &mut promised, &mut somebody] {
        ticket.state.fields = note("a broken leg");
    }
    let opened = [bare.opened(), promised.opened(), somebody.opened()];
    publish(harness, &opened).await;
    for ticket in [&bare, &promised, &somebody] {
        assert!(world.stored(ticket).await.contains("leg"));
    }
    // Events of before that are still on their way.
    let late = promised.changed(harness.clock.now(), "fields.note");
    let mut stuck = world.ticket();
    stuck.state.fields = note("the same leg");
    let opening = stuck.opened();
    harness.clock.advance(SignedDuration::from_mins(1));
    let erased = world.event(&ContactErased {
        contact_id: AINO.to_string(),
        contact_ids: vec![AINO.to_string()],
        erase_time: Some(to_proto_time(harness.clock.now())),
        ..ContactErased::default()
    });
    publish(harness, &[erased]).await;
    publish(harness, &[late]).await;
    // A process that starts anew finds nothing in its tables, and the stuck opening brings nothing back.
    world.node.crash();
    let other = World::node(harness, &world.tickets, "b").await;
    expire_leases(harness).await;
    publish(harness, &[opening]).await;
    let stored = async |ticket: &Ticket| -> String {
        sqlx::query_scalar(
            "SELECT coalesce(facts::text, '') || coalesce(unpromised::text, '') FROM sla.ticket_clock WHERE ticket_id = $1",
        )
        .bind(ticket.id().parse::<Uuid>().unwrap())
        .fetch_one(harness.db.pool())
        .await
        .unwrap()
    };
    for ticket in [&bare, &promised, &stuck] {
        let kept = stored(ticket).await;
        assert!(!kept.contains("leg"), "{kept}");
    }
    assert!(stored(&somebody).await.contains("leg"));
    // What the desk writes after that is the desk's.
    bare.state.fields = note("nothing personal");
    let after = bare.changed(
        harness.clock.now() + SignedDuration::from_mins(1),
        "fields.note",
    );
    publish(harness, &[after]).await;
    assert!(stored(&bare).await.contains("nothing personal"));
    other.stop().await;
}

async fn expire_leases(harness: &Harness) {
    sqlx::query(
        "UPDATE platform.lease SET expires_at = now() - interval '1 second' WHERE name = 'sla'",
    )
    .execute(harness.db.pool())
    .await
    .unwrap();
}
