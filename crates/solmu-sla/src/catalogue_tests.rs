//! Which policies and calendars a ticket gets.

use solmu_conditions::parse;
use solmu_domain::sla::{ANY_PRIORITY, MetricTargets};

use super::*;

fn calendar_id() -> CalendarId {
    CalendarId::from_uuid(Uuid::from_u128(9))
}

fn policy(number: u128, condition: &str, current: bool) -> PolicyRow {
    let targets = MetricTargets {
        first_response: Some(60),
        ..MetricTargets::default()
    };
    PolicyRow {
        key: PolicyKey {
            id: PolicyId::from_uuid(Uuid::from_u128(number)),
            version: 1,
        },
        current,
        position: 1,
        display_name: String::new(),
        condition: condition.to_owned(),
        tree: parse(condition, &SCHEMA).unwrap().condition().clone(),
        calendar: calendar_id(),
        terms: Policy::new(BTreeMap::from([(ANY_PRIORITY.to_owned(), targets)])),
    }
}

fn calendar(id: CalendarId, version: i32) -> CalendarRow {
    CalendarRow {
        id,
        version,
        display_name: String::new(),
        definition: CalendarSpec {
            always_open: true,
            ..CalendarSpec::default()
        },
        deleted: false,
    }
}

fn build(policies: Vec<PolicyRow>, calendars: Vec<CalendarRow>) -> Catalogue {
    Catalogue::build(1, policies, calendars, HashMap::new(), None)
}

#[test]
fn a_team_without_contacts_has_those_of_all() {
    let id = Uuid::from_u128;
    let contacts = |team, leads: &[Uuid], managers: &[Uuid]| Contacts {
        team,
        leads: leads.to_vec(),
        managers: managers.to_vec(),
    };
    let catalogue = build(Vec::new(), Vec::new()).with_contacts(vec![
        contacts(Uuid::nil(), &[id(1)], &[id(2)]),
        contacts(id(10), &[id(3), id(4)], &[]),
    ]);
    let (own, other) = (id(10).to_string(), id(11).to_string());
    let of = |target, team| catalogue.contacts(target, team).to_vec();
    assert_eq!(of("team_lead", Some(&own)), [id(3), id(4)]);
    assert_eq!(
        of("manager", Some(&own)),
        [id(2)],
        "it has no manager of its own"
    );
    assert_eq!(of("team_lead", Some(&other)), [id(1)]);
    assert_eq!(of("manager", None), [id(2)]);
    assert!(of("assignee", Some(&own)).is_empty());
    let empty = build(Vec::new(), Vec::new());
    assert!(empty.contacts("team_lead", Some(&own)).is_empty());
}

fn numbers(choice: &Choice) -> Vec<u128> {
    let keys = choice.policies.keys().iter();
    keys.map(|key| key.id.as_uuid().as_u128()).collect()
}

#[test]
fn the_first_that_holds_wins_with_the_newest_calendar() {
    let policies = vec![
        policy(1, "", false),
        policy(2, "tags:vip", true),
        policy(3, "", true),
    ];
    let calendars = vec![calendar(calendar_id(), 1), calendar(calendar_id(), 2)];
    let catalogue = build(policies, calendars);
    let chosen = |tags: &[&str]| {
        let tags = tags.iter().map(ToString::to_string).collect();
        let facts = TicketFacts {
            tags,
            ..TicketFacts::default()
        };
        let choice = catalogue.choose(&facts).unwrap();
        assert!(choice.calendars.key.ends_with("@2"));
        assert!(choice.calendars.metrics.is_empty());
        numbers(&choice)
    };
    assert_eq!((chosen(&["vip"]), chosen(&[])), (vec![2], vec![3]));
    let old = PolicySet::one(PolicyKey {
        id: PolicyId::from_uuid(Uuid::from_u128(1)),
        version: 1,
    });
    assert!(catalogue.terms(&old).is_ok(), "tickets keep what they have");
}

#[test]
fn policies_combine_as_far_as_they_add_something() {
    let other = CalendarId::from_uuid(Uuid::from_u128(8));
    let mut first = policy(1, "", true);
    first.terms.rules.combine = true;
    let mut same = policy(2, "", true);
    same.terms.rules.combine = true;
    let mut more = policy(3, "", true);
    more.calendar = other;
    let targets = more.terms.targets.get_mut(ANY_PRIORITY).unwrap();
    targets.resolution = Some(600);
    let last = policy(4, "", true);
    let calendars = vec![calendar(calendar_id(), 1), calendar(other, 1)];
    let catalogue = build(vec![first, same, more, last], calendars);
    let choice = catalogue.choose(&TicketFacts::default()).unwrap();
    assert_eq!(numbers(&choice), [1, 3]);
    let own = BTreeMap::from([(Metric::Resolution, calendar_key(other, 1))]);
    assert_eq!(choice.calendars.metrics, own);
    let together = catalogue.policy(&choice.policies.to_string()).unwrap();
    assert_eq!(together.target("low", Metric::Resolution), Some(600));
    let owner = |metric| {
        catalogue
            .owner(&choice.policies, metric)
            .as_uuid()
            .as_u128()
    };
    assert_eq!(
        (owner(Metric::FirstResponse), owner(Metric::Resolution)),
        (1, 3)
    );
}

#[test]
fn a_team_may_have_a_calendar_of_its_own() {
    let of_team = CalendarId::from_uuid(Uuid::from_u128(7));
    let team = Uuid::from_u128(70);
    let mut row = policy(1, "", true);
    row.terms.rules.calendar_from = CalendarFrom::Team;
    let calendars = vec![calendar(calendar_id(), 1), calendar(of_team, 3)];
    let teams = HashMap::from([(team, of_team)]);
    let catalogue = Catalogue::build(1, vec![row], calendars, teams, None);
    let key = |team| {
        let facts = TicketFacts {
            team,
            ..TicketFacts::default()
        };
        let choice = catalogue.choose(&facts).unwrap();
        assert!(catalogue.follows_team(&choice.policies));
        choice.calendars.key
    };
    assert_eq!(key(Some(team)), calendar_key(of_team, 3));
    assert_eq!(key(None), calendar_key(calendar_id(), 1));
    assert_eq!(
        key(Some(Uuid::from_u128(71))),
        calendar_key(calendar_id(), 1)
    );
}

#[test]
fn a_calendar_keeps_what_it_has_computed() {
    let first = build(Vec::new(), vec![calendar(calendar_id(), 1)]);
    let calendars = vec![calendar(calendar_id(), 1)];
    let second = Catalogue::build(2, Vec::new(), calendars, HashMap::new(), Some(&first));
    let key = calendar_key(calendar_id(), 1);
    assert!(Arc::ptr_eq(&first.calendars[&key], &second.calendars[&key]));
}
