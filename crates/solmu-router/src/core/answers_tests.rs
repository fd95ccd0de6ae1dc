use solmu_conditions::parse;
use solmu_inquiry::OwnFields;

use super::*;
use crate::core::{
    event::What,
    rules::{Actions, Rule, RuleSet, SCHEMA},
    testing::{event, facts, round, rule_id, state, team, ticket},
};

fn rule(id: u128, condition: &str) -> Rule {
    let condition = parse(condition, &SCHEMA).unwrap();
    let actions = Actions {
        team: Some(team(10 + id)),
        ..Actions::default()
    };
    Rule::new(rule_id(id), 1, format!("r{id}"), condition, actions)
}

fn rules(conditions: &[&str]) -> RuleSet {
    let rules = (1..).zip(conditions).map(|(id, it)| rule(id, it));
    RuleSet::new(7, rules.collect(), Some(team(1)))
}

fn team_of(ruling: &Ruling) -> Option<u128> {
    match ruling {
        Ruling::To(route) => Some(route.team.as_uuid().as_u128()),
        Ruling::NeedsOwn | Ruling::NeedsText | Ruling::NoTeam => None,
    }
}

fn told(own: &OwnFields) -> Told<'_> {
    Told {
        text: None,
        own: Some(own),
    }
}

#[test]
fn rules_see_fields_of_contacts_and_organisations() {
    let rules = rules(&[
        "contact.fields.tier = Gold AND channel = email",
        "organization.fields.seats >= 100.5 AND NOT contact.manager = true",
        "organization.name = \"acme*\"",
        "channel = chat",
    ]);
    let mut facts = facts(1);
    // Not indexed rules and indexed ones: both wait until somebody says.
    assert_eq!(rules.rule_on(&facts, Told::default()), Ruling::NeedsOwn);
    let gold = OwnFields::from([("contact.fields.tier", "gold")]);
    let seen = |facts: &Facts, own: &OwnFields| team_of(&rules.rule_on(facts, told(own)));
    assert_eq!(seen(&facts, &gold), Some(11));
    let large = OwnFields::from([
        ("contact.manager", "false"),
        ("organization.fields.seats", "250"),
    ]);
    assert_eq!(seen(&facts, &large), Some(12));
    let small = OwnFields::from([
        ("organization.fields.seats", "99"),
        ("organization.name", "Acme Oy"),
    ]);
    assert_eq!(seen(&facts, &small), Some(13));
    facts.channel = "chat".to_owned();
    assert_eq!(seen(&facts, &OwnFields::default()), Some(14));
    let names: Vec<&str> = rules.watched().names().collect();
    let wanted = [
        "contact.fields.tier",
        "contact.manager",
        "organization.fields.seats",
        "organization.name",
    ];
    assert_eq!(names, wanted);
}

#[test]
fn an_index_finds_rules_by_fields_of_contacts() {
    let many: Vec<String> = (0..1_000)
        .map(|it| format!("contact.fields.customer = c{it}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let rules = rules(&many);
    let own = OwnFields::from([("contact.fields.customer", "C777")]);
    let (ruling, evaluated) = rules.rule_counting(&facts(1), told(&own));
    assert_eq!(team_of(&ruling), Some(11 + 777));
    assert_eq!(evaluated, 1);
    // A rule in front that holds needs nobody's fields.
    let rules = self::rules(&["channel = email", "contact.fields.tier = gold"]);
    assert_eq!(
        team_of(&rules.rule_on(&facts(1), Told::default())),
        Some(11)
    );
}

#[test]
fn what_is_not_known_waits_and_is_asked_for() {
    let mut state = state([]);
    state.set_rules(rules(&["lasku*", "contact.fields.tier = gold"]));
    let contact = ContactId::from_uuid(Uuid::from_u128(5));
    let mut facts = facts(1);
    facts.contact = Some(contact);
    facts.organizations = vec![Uuid::from_u128(6).to_string(), "no id".to_owned()];
    let opened = event(1, &facts, What::Told, 1);
    let wanted = state.wanted_owns([&opened].into_iter(), 10);
    let parties = &wanted[&ticket(1)];
    assert_eq!(parties.contact(), Some(contact.as_uuid()));
    assert_eq!(
        parties.organizations().collect::<Vec<_>>(),
        [Uuid::from_u128(6)]
    );
    round(&mut state, &[opened], 1);
    let reason = |state: &State| match &state.ticket(ticket(1)).unwrap().phase {
        Phase::Waiting(waiting) => waiting.reason.clone(),
        other => panic!("{other:?}"),
    };
    assert!(reason(&state).contains("its text"), "{}", reason(&state));
    let mut answers = Answers::default();
    answers
        .texts
        .insert(ticket(1), Text::new("moi", "", String::new()));
    state.route(&answers, 10);
    // The words say nothing, and now the contact is missing.
    assert!(reason(&state).contains("its contact"), "{}", reason(&state));
    let own = OwnFields::from([("contact.fields.tier", "gold")]);
    assert_eq!(
        state.wanted_texts(
            std::iter::empty(),
            &HashMap::from([(ticket(1), own.clone())]),
            10
        ),
        [ticket(1)]
    );
    answers.owns.insert(ticket(1), own);
    state.route(&answers, 10);
    let team_of = |state: &State| {
        state
            .ticket(ticket(1))
            .unwrap()
            .route
            .as_ref()
            .unwrap()
            .team
    };
    assert_eq!(team_of(&state), team(12));

    // Another value: asked again about what waits, once.
    let change = |fields: Option<&str>| OwnChange {
        contacts: HashSet::from([contact]),
        organizations: HashSet::new(),
        fields: fields.map(|it| vec![it.to_owned()]),
    };
    state.own_changed(&change(Some("contact.language")));
    assert!(!state.has_unrouted(), "no rule looks at it");
    state.own_changed(&change(Some("contact.fields.tier")));
    assert!(state.has_unrouted());
    answers.owns.insert(ticket(1), OwnFields::default());
    state.route(&answers, 10);
    assert_eq!(team_of(&state), team(1));
    assert!(!state.has_unrouted());
    state.own_changed(&change(None));
    assert!(state.has_unrouted(), "a merge may change anything");
    let organization = OwnChange {
        organizations: HashSet::from([Uuid::from_u128(6).to_string()]),
        ..OwnChange::default()
    };
    state.route(&answers, 10);
    state.own_changed(&organization);
    assert!(state.has_unrouted());
}

#[test]
fn an_erasure_empties_custom_fields_in_memory() {
    let mut state = state([]);
    let contact = ContactId::from_uuid(Uuid::from_u128(5));
    let mut facts = facts(1);
    facts.contact = Some(contact);
    facts
        .fields
        .insert("note".to_owned(), vec!["Aino".to_owned()]);
    let mut other = facts.clone();
    other.contact = Some(ContactId::from_uuid(Uuid::from_u128(6)));
    let events = [
        event(1, &facts, What::Told, 1),
        event(2, &other, What::Told, 1),
    ];
    round(&mut state, &events, 1);
    state.take_changes();
    state.erase(&HashSet::from([contact]));
    assert!(state.ticket(ticket(1)).unwrap().facts.fields.is_empty());
    assert!(!state.ticket(ticket(2)).unwrap().facts.fields.is_empty());
    assert_eq!(
        state.take_changes().tickets,
        [ticket(1)],
        "and it is stored"
    );
}
