//! Whether an agent's mail opens a ticket for a customer, and for whom.

use std::collections::HashMap;

use solmu_domain::contact::EmailAddress;
use solmu_proto::{inbound::v1::MessageReceived, types::v1::Mailbox};

use super::Agent;
pub(crate) use super::forwarded::Forwarded;
use crate::{config::Config, model::class_from_proto};

/// For whom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Start {
    /// The agent wrote to them.
    Written(Mailbox),
    /// The agent forwards what they wrote.
    Forwarded(Forwarded),
}

impl Start {
    /// What a mail of an agent opens; `None` if it is not to a start address or names no customer.
    pub(crate) fn of(
        mail: &MessageReceived,
        agents: &HashMap<String, Agent>,
        config: &Config,
    ) -> Option<Self> {
        let ours = Ours {
            mail,
            agents,
            config,
        };
        if !ours.is_start() || !class_from_proto(mail.automatic_class()).is_human() {
            return None;
        }
        let written = mail.to.iter().chain(&mail.cc);
        if let Some(customer) = written
            .filter_map(normalised)
            .find(|it| !ours.has(&it.address))
        {
            return Some(Self::Written(customer));
        }
        let attached = mail.attached_mail.as_ref();
        let forwarded = attached
            .and_then(|it| Forwarded::attached(it, &mail.subject))
            .or_else(|| Forwarded::find(&mail.subject, &mail.text))?;
        (!ours.has(&forwarded.from.address)).then_some(Self::Forwarded(forwarded))
    }
}

fn normalised(mailbox: &Mailbox) -> Option<Mailbox> {
    let address = EmailAddress::parse(&mailbox.address).ok()?;
    Some(Mailbox {
        name: mailbox.name.trim().to_owned(),
        address: address.as_str().to_owned(),
    })
}

/// Who is no customer.
struct Ours<'a> {
    mail: &'a MessageReceived,
    agents: &'a HashMap<String, Agent>,
    config: &'a Config,
}

impl Ours<'_> {
    fn starts(&self) -> impl Iterator<Item = EmailAddress> + '_ {
        let addresses = self.config.agent_mail.start_addresses.iter();
        addresses.filter_map(|address| EmailAddress::parse(address).ok())
    }

    fn is_start(&self) -> bool {
        let named = self.mail.to.iter().chain(&self.mail.cc);
        let mut all = named
            .map(|mailbox| mailbox.address.trim().to_lowercase())
            .chain(self.mail.delivered_to.iter().cloned());
        all.any(|address| self.starts().any(|start| start.as_str() == address))
    }

    /// Addresses that we got this mail at, agents, and whoever shares a domain with our desk.
    fn has(&self, address: &str) -> bool {
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let desk = self.starts().any(|start| start.domain() == domain)
            || self
                .config
                .agent_mail_domains
                .iter()
                .any(|own| own == domain);
        let public = self
            .config
            .public_mail_domains
            .iter()
            .any(|it| it == domain);
        self.mail.delivered_to.iter().any(|own| own == address)
            || self.agents.contains_key(address)
            || self.starts().any(|start| start.as_str() == address)
            || (desk && !public)
    }
}

#[cfg(test)]
mod tests {
    use solmu_proto::{
        inbound::v1::AttachedMail,
        types::v1::{AutomaticClass, Channel},
    };

    use super::*;
    use crate::config::AgentMail;

    #[test]
    fn a_customer_is_nobody_of_the_desk() {
        let config = Config {
            agent_mail: AgentMail {
                start_addresses: vec!["new@desk.example".to_owned()],
                ..AgentMail::default()
            },
            ..Config::default()
        };
        let mailbox = |address: &str| Mailbox {
            name: "N".to_owned(),
            address: address.to_owned(),
        };
        let agent = Agent {
            id: uuid::Uuid::nil(),
            name: String::new(),
            address: "ville@gmail.com".to_owned(),
        };
        let agents = HashMap::from([(agent.address.clone(), agent)]);
        let mut mail = MessageReceived {
            channel: Channel::Email.into(),
            delivered_to: vec!["new@desk.example".to_owned()],
            to: vec![mailbox("ville@gmail.com"), mailbox("boss@desk.example")],
            cc: vec![mailbox("New@desk.example"), mailbox("Aino@C.example")],
            ..MessageReceived::default()
        };
        let of = |mail: &MessageReceived| Start::of(mail, &agents, &config);
        assert_eq!(of(&mail), Some(Start::Written(mailbox("aino@c.example"))));
        mail.automatic_class = AutomaticClass::OutOfOffice.into();
        assert_eq!(of(&mail), None);
        mail.automatic_class = AutomaticClass::Human.into();
        mail.cc.pop();
        assert_eq!(of(&mail), None);
        mail.text = "FYI\n\n---------- Forwarded message ---------\nFrom: N <aino@c.example>\nDate: Mon\n\nHelp".to_owned();
        assert!(matches!(of(&mail), Some(Start::Forwarded(it)) if it.text == "Help"));
        mail.attached_mail = Some(AttachedMail {
            from: Some(mailbox("Paivi@C.example")),
            subject: "Fwd: Broken".to_owned(),
            text: "It is broken.\n".to_owned(),
        });
        assert!(
            matches!(of(&mail), Some(Start::Forwarded(it)) if it.from == mailbox("paivi@c.example")
                && it.subject == "Broken" && it.text == "It is broken.")
        );
        mail.delivered_to = vec!["support@desk.example".to_owned()];
        mail.cc.clear();
        assert_eq!(of(&mail), None, "only where agents start tickets");
    }
}
