//! Whom an answer goes to, and what ties it to what it answers.

use solmu_bus::envelope::to_proto_time;
use solmu_db::{SqlTimestamp, ToSqlx as _};
use solmu_proto::{
    outbound::v1::{MessageQueued, Quoted},
    types::v1::{Assurance, AutomaticClass, Channel, Identity, IdentityKind, actor::Kind},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    catalogue,
    config::Quoting,
    error::TicketError,
    model::{Ticket, small},
    reach,
    ways::{self, Way},
};

/// Ids of answered messages that an answer names at most; mail clients keep about as many.
const REFERENCES: i64 = 20;

struct Answered {
    channel: i16,
    account: String,
    address: String,
    /// Where they want answers; empty for the address itself.
    reply_to: String,
    author_name: String,
    message_id_header: String,
    subject: String,
    created_at: SqlTimestamp,
    /// What they wrote anew, one character longer than the limit at most.
    body_text: String,
}
solmu_db::from_row!(Answered {
    channel,
    account,
    address,
    reply_to,
    author_name,
    message_id_header,
    subject,
    created_at,
    body_text
});

/// The channel that an answer on a ticket of `channel` goes out on. A form has no way back: it is answered by e-mail.
pub const fn answer_channel(channel: Channel) -> Channel {
    match channel {
        Channel::Form => Channel::Email,
        other => other,
    }
}

/// The envelope of an answer on `ticket`: to the address that the requester wrote from last, on the channel of the ticket
/// or in a conversation that joined it and whose requester proved to be the same.
///
/// An unverified sender who joined a ticket is not answered in the requester's place: only messages of the ticket's
/// own contact count, and those that a person wrote before what their responder sent. An answer by e-mail to a form
/// leaves the account empty: the connector takes its default one. An address that takes no mail is an error at once,
/// unless `forced`. A mail that asks for answers elsewhere is answered there, where filing followed that. A requester who wrote nothing (an agent opened the ticket for them) is answered at their address.
pub async fn address(
    tx: &mut PgConnection,
    ticket: &Ticket,
    forced: bool,
    quoting: &Quoting,
) -> Result<MessageQueued, TicketError> {
    // A second chat is a way apart, also on a ticket of chats; a first message alone has none.
    let ways = if ticket.messages() > 1 {
        ways::of(tx, ticket.id, true).await?
    } else {
        Vec::new()
    };
    let answered = last_words(tx, ticket, &ways, quoting).await?;
    let wrote = answered.is_some();
    let answered = match answered {
        Some(answered) => answered,
        None => unwritten(tx, ticket).await?,
    };
    let back = Back::of(ticket, &ways, &answered);
    let channel = answer_channel(back.channel);
    let recipient = identity_of(tx, &back, &answered).await?;
    let elsewhere = recipient.value == answered.reply_to;
    if !forced {
        reach::check(tx, &recipient, answered.created_at).await?;
    }
    let references: Vec<String> = sqlx::query_scalar(
        "SELECT id FROM (
            SELECT coalesce(nullif(message_id_header, ''), external_id) AS id, sequence FROM tickets.message
            WHERE ticket_id = $1 AND public AND external_id <> '' AND channel = $2 ORDER BY sequence DESC LIMIT $3
         ) AS last ORDER BY sequence",
    )
    .bind(ticket.id)
    .bind(small(channel.into()))
    .bind(REFERENCES)
    .fetch_all(tx)
    .await?;
    let quoted = quote(&answered, quoting);
    // An id of the form's own means nothing to a mail client, and its account is none of the e-mail connector's.
    let same_channel = answered.channel == small(channel.into());
    // The account that they wrote to first: another one may have got a copy of their last mail.
    let one_account = ticket.channel == Channel::Email && !back.exact;
    let (account, in_reply_to) = if same_channel {
        let account = if one_account {
            ticket.account.clone()
        } else {
            answered.account
        };
        (account, answered.message_id_header)
    } else {
        Default::default()
    };
    Ok(MessageQueued {
        ticket_id: ticket.id.to_string(),
        ticket_number: ticket.number,
        channel: channel.into(),
        account,
        // A mail's own key is chosen by its sender: a mailbox that does not answer must not hold up other tickets.
        conversation_key: if channel == Channel::Email {
            ticket.id.to_string()
        } else {
            back.conversation_key
        },
        recipient: Some(recipient),
        // Where they want answers, somebody else may read.
        recipient_name: if elsewhere {
            String::new()
        } else {
            answered.author_name
        },
        subject: if answered.subject.is_empty() {
            ticket.subject.clone()
        } else {
            answered.subject
        },
        in_reply_to,
        references,
        from_address: back.from_address,
        quoted: quoted.filter(|_| wrote && same_channel && channel == Channel::Email),
        language: ticket.language.clone(),
        ..MessageQueued::default()
    })
}

/// The last message of the requester that can be answered.
async fn last_words(
    tx: &mut PgConnection,
    ticket: &Ticket,
    ways: &[Way],
    quoting: &Quoting,
) -> Result<Option<Answered>, TicketError> {
    let answered = sqlx::query_as(
        "SELECT channel, account, address, reply_to, author_name,
            coalesce(nullif(message_id_header, ''), external_id) AS message_id_header, subject, created_at,
            left(body_text, least(least(quote_offset, signature_offset), $7)) AS body_text
         FROM tickets.message WHERE ticket_id = $1 AND author_kind = $5 AND public
            AND ((channel IN ($2, $3) AND author_id = $4) OR (channel, account, address, author_id) IN
                (SELECT * FROM unnest($8::smallint[], $9::text[], $10::text[], $11::text[])))
         ORDER BY (automatic_class <= $6) DESC, sequence DESC LIMIT 1",
    )
    .bind(ticket.id)
    .bind(small(ticket.channel.into()))
    .bind(small(answer_channel(ticket.channel).into()))
    .bind(ticket.contact_id.to_string())
    .bind(small(Kind::Customer.into()))
    .bind(small(AutomaticClass::Human.into()))
    .bind(i32::try_from(quoting.max_characters).unwrap_or(i32::MAX).saturating_add(1))
    .bind(ways.iter().map(|way| way.channel).collect::<Vec<_>>())
    .bind(ways.iter().map(|way| way.account.as_str()).collect::<Vec<_>>())
    .bind(ways.iter().map(|way| way.address.as_str()).collect::<Vec<_>>())
    .bind(ways.iter().map(|way| way.contact_id.to_string()).collect::<Vec<_>>())
    .fetch_optional(tx)
    .await?;
    Ok(answered)
}

/// Where an answer goes back to.
struct Back {
    /// The channel that they wrote on.
    channel: Channel,
    contact_id: Uuid,
    conversation_key: String,
    from_address: String,
    /// It goes to that very address, and to no other of theirs.
    exact: bool,
}

impl Back {
    fn of(ticket: &Ticket, ways: &[Way], answered: &Answered) -> Self {
        let joined = ways.iter().find(|way| {
            let one = (way.channel, &way.account, &way.address);
            one == (answered.channel, &answered.account, &answered.address)
        });
        match joined {
            Some(way) => Self {
                channel: Channel::try_from(i32::from(way.channel)).unwrap_or(ticket.channel),
                contact_id: way.contact_id,
                conversation_key: way.conversation_key.clone(),
                // On a ticket of mail the requester has one correspondent, whichever mail they wrote last.
                from_address: if way.channel == small(Channel::Email.into())
                    && ticket.channel == Channel::Email
                {
                    ticket.recipient.clone()
                } else {
                    way.recipient.clone()
                },
                exact: true,
            },
            None => Self {
                channel: ticket.channel,
                contact_id: ticket.contact_id,
                conversation_key: ticket.conversation_key.clone(),
                from_address: ticket.recipient.clone(),
                exact: false,
            },
        }
    }
}

/// What an answer quotes: what they wrote anew, cut at the limit. Only ever a message of the recipient's own on the very
/// channel that the answer goes out on, so nothing is told to anybody that they did not write there themselves.
fn quote(answered: &Answered, quoting: &Quoting) -> Option<Quoted> {
    let max = usize::try_from(quoting.max_characters).unwrap_or(usize::MAX);
    let mut text: String = answered.body_text.chars().take(max).collect();
    let cut = answered.body_text.chars().count() > max;
    text.truncate(text.trim_end().len());
    if text.trim().is_empty() {
        return None;
    }
    if cut {
        text.push_str("\n[...]");
    }
    Some(Quoted {
        author_name: answered.author_name.clone(),
        author_address: answered.address.clone(),
        time: Some(to_proto_time(answered.created_at.to_jiff())),
        text,
    })
}

/// What there is to answer where the requester wrote nothing: their address, and the mail of ours that opened the
/// ticket.
async fn unwritten(tx: &mut PgConnection, ticket: &Ticket) -> Result<Answered, TicketError> {
    let opened: Option<Answered> = sqlx::query_as(
        "SELECT channel, account, address, '' AS reply_to, (SELECT display_name FROM tickets.contact WHERE id = $3) AS author_name,
            '' AS message_id_header, subject, created_at, '' AS body_text
         FROM tickets.message WHERE ticket_id = $1 AND public AND author_kind <> $2 AND address <> ''
         ORDER BY sequence LIMIT 1",
    )
    .bind(ticket.id)
    .bind(small(Kind::Customer.into()))
    .bind(ticket.contact_id)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(opened) = opened {
        return Ok(opened);
    }
    let none = TicketError::NoRecipient("they wrote no message on this channel");
    let address = catalogue::address(tx, ticket).await?.ok_or(none)?;
    Ok(Answered {
        channel: small(ticket.channel.into()),
        account: String::new(),
        address,
        reply_to: String::new(),
        author_name: String::new(),
        message_id_header: String::new(),
        subject: ticket.subject.clone(),
        created_at: ticket.created_at.to_sqlx(),
        body_text: String::new(),
    })
}

/// The identity behind the address that the message came from.
async fn identity_of(
    tx: &mut PgConnection,
    back: &Back,
    answered: &Answered,
) -> Result<Identity, TicketError> {
    let rows: Vec<(i16, String, String, String, i16)> = sqlx::query_as(
        "SELECT kind, scope, value, raw, assurance FROM tickets.identity WHERE contact_id = $1",
    )
    .bind(back.contact_id)
    .fetch_all(tx)
    .await?;
    let wanted = kind_of(back.channel);
    // Whoever reads there: none of the contact's identities.
    if !answered.reply_to.is_empty() && !back.exact && wanted == IdentityKind::Email {
        return Ok(claimed(wanted, &answered.reply_to));
    }
    let identities = rows
        .into_iter()
        .map(|(kind, scope, value, raw, assurance)| Identity {
            kind: kind.into(),
            value,
            raw,
            assurance: assurance.into(),
            scope,
            ..Identity::default()
        });
    let fitting: Vec<Identity> = identities
        .filter(|identity| identity.kind() == wanted)
        .collect();
    let exact = fitting
        .iter()
        .find(|identity| identity.value == answered.address);
    let other = fitting.first().filter(|_| !back.exact);
    if let Some(identity) = exact.or(other) {
        return Ok(as_recipient(identity.clone()));
    }
    if answered.address.is_empty() {
        return Err(TicketError::NoRecipient(
            "they have no address on this channel",
        ));
    }
    Ok(claimed(wanted, &answered.address))
}

fn claimed(kind: IdentityKind, address: &str) -> Identity {
    Identity {
        kind: kind.into(),
        value: address.to_owned(),
        raw: address.to_owned(),
        assurance: Assurance::Claimed.into(),
        ..Identity::default()
    }
}

/// An identity as a connector can send to it: the scope of ours means nothing there.
pub fn as_recipient(mut identity: Identity) -> Identity {
    if identity.kind() == IdentityKind::Email {
        identity.scope.clear();
    }
    identity
}

/// What the recipient of a channel is known by. A form is answered by e-mail.
pub const fn kind_of(channel: Channel) -> IdentityKind {
    match channel {
        Channel::Email | Channel::Form | Channel::Unspecified => IdentityKind::Email,
        Channel::Chat => IdentityKind::ChatSession,
        Channel::Whatsapp => IdentityKind::Whatsapp,
        Channel::Telegram => IdentityKind::Telegram,
    }
}
