//! The permission table: which RPC is for whom. The only place that decides it.
//!
//! The gate of the gRPC server looks up the row of each call before any handler sees it, so that no handler can forget
//! to. What has no row is refused. A handler may still state the roles that it was written for
//! ([`Caller::require`](super::Caller::require)); that statement is compared with the row, and a difference is a fault
//! that the permission test finds. Options in the proto files were rejected: whoever reviews who may do what should
//! read one page.

use std::{collections::HashMap, sync::LazyLock};

use super::{Caller, Role, scopes::Scope};
use crate::api_error::ApiError;

/// Who may call one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its name, as in the proto file.
    pub method: &'static str,
    /// Roles that may call it.
    pub roles: &'static [Role],
    /// What a token with scopes must have besides.
    pub scope: Scope,
}

impl Row {
    /// Fails with PERMISSION_DENIED unless `caller` may call this method.
    pub fn check(&self, caller: &Caller) -> Result<(), ApiError> {
        if !self.roles.contains(&caller.role) {
            return Err(wrong_role(self.roles));
        }
        if !caller.scopes().allow(self.scope) {
            return Err(ApiError::PermissionDenied {
                reason: "SCOPE_REQUIRED",
                message: format!("this call needs a token with scope {}", self.scope),
            });
        }
        Ok(())
    }
}

/// The methods of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceRows {
    /// Its full name, `package.Service`.
    pub service: &'static str,
    /// A row for each of its methods.
    pub rows: &'static [Row],
}

const ALL: &[Role] = &[Role::Admin, Role::Agent, Role::Service];
/// Decisions that a person has to take.
const PEOPLE: &[Role] = &[Role::Admin, Role::Agent];
/// What one sets up, or lets a program set up.
const MANAGERS: &[Role] = &[Role::Admin, Role::Service];
const ADMIN: &[Role] = &[Role::Admin];
/// What only programs do, for people who are none of ours.
const SERVICE: &[Role] = &[Role::Service];

const fn row(method: &'static str, roles: &'static [Role], scope: Scope) -> Row {
    Row {
        method,
        roles,
        scope,
    }
}

/// Every service and method of ours. A new method needs its row here; the test of this module says which are missing.
pub const TABLE: &[ServiceRows] = &[
    ServiceRows {
        service: "solmu.access.v1.AccessService",
        rows: &[
            row("CreateToken", ADMIN, Scope::AccessAdmin),
            row("ListTokens", ADMIN, Scope::AccessAdmin),
            row("RevokeToken", ADMIN, Scope::AccessAdmin),
        ],
    },
    ServiceRows {
        service: "solmu.contact.v1.ContactService",
        rows: CONTACTS,
    },
    ServiceRows {
        service: "solmu.requester.v1.RequesterService",
        rows: &[
            row("ListTickets", SERVICE, Scope::RequestersRead),
            row("GetTicket", SERVICE, Scope::RequestersRead),
            row("ListMessages", SERVICE, Scope::RequestersRead),
            row("Reply", SERVICE, Scope::RequestersWrite),
            row("CreateTicket", SERVICE, Scope::RequestersWrite),
            row("CloseTicket", SERVICE, Scope::RequestersWrite),
            row("ListServices", SERVICE, Scope::RequestersRead),
            row("OrderService", SERVICE, Scope::RequestersWrite),
        ],
    },
    ServiceRows {
        service: "solmu.routing.v1.RoutingService",
        rows: ROUTING,
    },
    ServiceRows {
        service: "solmu.sla.v1.SlaService",
        rows: SLA,
    },
    ServiceRows {
        service: "solmu.ticket.v1.SearchService",
        rows: SEARCH,
    },
    ServiceRows {
        service: "solmu.ticket.v1.ActivityService",
        rows: &[
            row("ListActivities", ALL, Scope::TicketsRead),
            row("VerifyActivity", ALL, Scope::TicketsRead),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.CatalogueService",
        rows: &[
            row("CreateCatalogueItem", PEOPLE, Scope::TicketsWrite),
            row("GetCatalogueItem", ALL, Scope::TicketsRead),
            row("UpdateCatalogueItem", PEOPLE, Scope::TicketsWrite),
            row("DeleteCatalogueItem", PEOPLE, Scope::TicketsWrite),
            row("ListCatalogueItems", ALL, Scope::TicketsRead),
            row("OrderCatalogueItem", ALL, Scope::TicketsWrite),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.DeskService",
        rows: DESK,
    },
    ServiceRows {
        service: "solmu.ticket.v1.FieldService",
        rows: &[
            row("CreateField", ADMIN, Scope::TicketsAdmin),
            row("GetField", ALL, Scope::TicketsRead),
            row("ListFields", ALL, Scope::TicketsRead),
            row("UpdateField", ADMIN, Scope::TicketsAdmin),
            row("ArchiveField", ADMIN, Scope::TicketsAdmin),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.LinkService",
        rows: &[
            row("CreateTicketLink", ALL, Scope::TicketsWrite),
            row("ListTicketLinks", ALL, Scope::TicketsRead),
            row("RevokeTicketLink", ALL, Scope::TicketsWrite),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.MatterService",
        rows: &[
            row("ListMatterProposals", ALL, Scope::TicketsRead),
            row("AcceptMatter", PEOPLE, Scope::TicketsWrite),
            row("DismissMatter", PEOPLE, Scope::TicketsWrite),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.SubstatusService",
        rows: &[
            row("CreateSubstatus", ADMIN, Scope::TicketsAdmin),
            row("ListSubstatuses", ALL, Scope::TicketsRead),
            row("UpdateSubstatus", ADMIN, Scope::TicketsAdmin),
            row("RetireSubstatus", ADMIN, Scope::TicketsAdmin),
        ],
    },
    ServiceRows {
        service: "solmu.ticket.v1.TicketService",
        rows: TICKETS,
    },
    ServiceRows {
        service: "solmu.ticket.v1.TimeService",
        rows: TIME,
    },
    ServiceRows {
        service: "solmu.ticket.v1.WorkService",
        rows: WORK,
    },
];

const CONTACTS: &[Row] = &[
    row("GetContact", ALL, Scope::ContactsRead),
    row("ListContacts", ALL, Scope::ContactsRead),
    row("CreateContact", ALL, Scope::ContactsWrite),
    row("UpdateContact", ALL, Scope::ContactsWrite),
    row("MergeContacts", ALL, Scope::ContactsWrite),
    row("UnmergeContact", ALL, Scope::ContactsWrite),
    row("ListMerges", ALL, Scope::ContactsRead),
    row("ListMergeSuggestions", ALL, Scope::ContactsRead),
    row("DismissMergeSuggestion", ALL, Scope::ContactsWrite),
    row("ListEncounters", ALL, Scope::ContactsRead),
    row("BlockContact", PEOPLE, Scope::ContactsWrite),
    row("UnblockContact", PEOPLE, Scope::ContactsWrite),
    row("ExportContact", ADMIN, Scope::ContactsAdmin),
    row("EraseContact", ADMIN, Scope::ContactsAdmin),
    row("CreateContactAttribute", ADMIN, Scope::ContactsAdmin),
    row("ListContactAttributes", ALL, Scope::ContactsRead),
    row("DeleteContactAttribute", ADMIN, Scope::ContactsAdmin),
    row("CreateOrganization", ALL, Scope::ContactsWrite),
    row("GetOrganization", ALL, Scope::ContactsRead),
    row("ListOrganizations", ALL, Scope::ContactsRead),
    row("UpdateOrganization", ALL, Scope::ContactsWrite),
    row("BatchGetConditionValues", MANAGERS, Scope::ContactsRead),
];

const ROUTING: &[Row] = &[
    row("CreateTeam", MANAGERS, Scope::RoutingAdmin),
    row("UpdateTeam", MANAGERS, Scope::RoutingAdmin),
    row("DeleteTeam", MANAGERS, Scope::RoutingAdmin),
    row("ListTeams", ALL, Scope::RoutingRead),
    row("CreateAgent", MANAGERS, Scope::RoutingAdmin),
    row("UpdateAgent", MANAGERS, Scope::RoutingAdmin),
    row("DeleteAgent", MANAGERS, Scope::RoutingAdmin),
    row("GetAgent", ALL, Scope::RoutingRead),
    row("ListAgents", ALL, Scope::RoutingRead),
    row("SetPresence", ALL, Scope::RoutingWrite),
    row("Heartbeat", ALL, Scope::RoutingWrite),
    row("KeepPresence", ALL, Scope::RoutingWrite),
    row("ListOffers", ALL, Scope::RoutingRead),
    row("WatchOffers", ALL, Scope::RoutingRead),
    row("AcceptOffer", ALL, Scope::RoutingWrite),
    row("DeclineOffer", ALL, Scope::RoutingWrite),
    row("NextTicket", ALL, Scope::RoutingWrite),
    row("ListQueues", ALL, Scope::RoutingRead),
    row("GetQueuePosition", ALL, Scope::RoutingRead),
    row("DryRunRule", MANAGERS, Scope::RoutingAdmin),
    row("ListRuleVersions", ALL, Scope::RoutingRead),
    row("CreateRule", MANAGERS, Scope::RoutingAdmin),
    row("ListRules", ALL, Scope::RoutingRead),
    row("UpdateRule", MANAGERS, Scope::RoutingAdmin),
    row("DeleteRule", MANAGERS, Scope::RoutingAdmin),
    row("ExplainRouting", ALL, Scope::RoutingRead),
];

const SLA: &[Row] = &[
    row("CreateCalendar", ADMIN, Scope::SlaAdmin),
    row("GetCalendar", ALL, Scope::SlaRead),
    row("ListCalendars", ALL, Scope::SlaRead),
    row("UpdateCalendar", ADMIN, Scope::SlaAdmin),
    row("DeleteCalendar", ADMIN, Scope::SlaAdmin),
    row("PreviewCalendar", ALL, Scope::SlaRead),
    row("ImportHolidays", ADMIN, Scope::SlaAdmin),
    row("SetTeamCalendar", ADMIN, Scope::SlaAdmin),
    row("ListTeamCalendars", ALL, Scope::SlaRead),
    row("SetTeamContacts", ADMIN, Scope::SlaAdmin),
    row("ListTeamContacts", ALL, Scope::SlaRead),
    row("CreatePolicy", ADMIN, Scope::SlaAdmin),
    row("GetPolicy", ALL, Scope::SlaRead),
    row("ListPolicies", ALL, Scope::SlaRead),
    row("UpdatePolicy", ADMIN, Scope::SlaAdmin),
    row("DeletePolicy", ADMIN, Scope::SlaAdmin),
    row("ExplainTicket", ALL, Scope::SlaRead),
    row("GetAttainment", ALL, Scope::SlaRead),
];

const SEARCH: &[Row] = &[
    row("SearchTickets", ALL, Scope::TicketsRead),
    row("CreateView", ALL, Scope::TicketsWrite),
    row("ListViews", ALL, Scope::TicketsRead),
    row("UpdateView", ALL, Scope::TicketsWrite),
    row("DeleteView", ALL, Scope::TicketsWrite),
];

const DESK: &[Row] = &[
    row("WatchViewers", ALL, Scope::TicketsRead),
    row("Heartbeat", PEOPLE, Scope::TicketsWrite),
    row("CreateCannedAnswer", PEOPLE, Scope::TicketsWrite),
    row("GetCannedAnswer", PEOPLE, Scope::TicketsRead),
    row("UpdateCannedAnswer", PEOPLE, Scope::TicketsWrite),
    row("DeleteCannedAnswer", PEOPLE, Scope::TicketsWrite),
    row("ListCannedAnswers", PEOPLE, Scope::TicketsRead),
    row("RenderCannedAnswer", PEOPLE, Scope::TicketsRead),
    row("CreateMacro", PEOPLE, Scope::TicketsWrite),
    row("GetMacro", PEOPLE, Scope::TicketsRead),
    row("UpdateMacro", PEOPLE, Scope::TicketsWrite),
    row("DeleteMacro", PEOPLE, Scope::TicketsWrite),
    row("ListMacros", PEOPLE, Scope::TicketsRead),
    row("ApplyMacro", PEOPLE, Scope::TicketsWrite),
    row("BulkUpdate", ALL, Scope::TicketsWrite),
];

const TICKETS: &[Row] = &[
    row("GetTicket", ALL, Scope::TicketsRead),
    row("ListTickets", ALL, Scope::TicketsRead),
    row("ListMessages", ALL, Scope::TicketsRead),
    row("ReplyToTicket", ALL, Scope::TicketsWrite),
    row("AddNote", ALL, Scope::TicketsWrite),
    row("SetStatus", ALL, Scope::TicketsWrite),
    row("SetPriority", ALL, Scope::TicketsWrite),
    row("UpdateTicket", ALL, Scope::TicketsWrite),
    row("AssignTicket", ALL, Scope::TicketsWrite),
    row("WatchTickets", ALL, Scope::TicketsRead),
    row("BatchGetRoutingTexts", MANAGERS, Scope::TicketsRead),
    row("ListQuarantine", ALL, Scope::TicketsRead),
    row("ReleaseQuarantined", PEOPLE, Scope::TicketsWrite),
    row("RejectQuarantined", PEOPLE, Scope::TicketsWrite),
    row("ForwardToExpert", PEOPLE, Scope::TicketsWrite),
    row("BlockSender", PEOPLE, Scope::TicketsWrite),
    row("MergeTickets", PEOPLE, Scope::TicketsWrite),
    row("UnmergeTicket", PEOPLE, Scope::TicketsWrite),
    row("SplitMessage", PEOPLE, Scope::TicketsWrite),
    row("UnblockSender", PEOPLE, Scope::TicketsWrite),
    row("ListBlockedSenders", ALL, Scope::TicketsRead),
    row("RestrictTicket", ALL, Scope::TicketsWrite),
    row("UnrestrictTicket", ALL, Scope::TicketsWrite),
];

const TIME: &[Row] = &[
    row("StartTimer", PEOPLE, Scope::TicketsWrite),
    row("StopTimer", PEOPLE, Scope::TicketsWrite),
    row("DiscardTimer", PEOPLE, Scope::TicketsWrite),
    row("GetTimer", PEOPLE, Scope::TicketsRead),
    row("CreateTimeEntry", PEOPLE, Scope::TicketsWrite),
    row("UpdateTimeEntry", PEOPLE, Scope::TicketsWrite),
    row("DeleteTimeEntry", PEOPLE, Scope::TicketsWrite),
    row("ListTimeEntries", ALL, Scope::TicketsRead),
    row("GetTimeTotals", ALL, Scope::TicketsRead),
    row("ExportTime", MANAGERS, Scope::TicketsAdmin),
];

const WORK: &[Row] = &[
    row("CreateTask", ALL, Scope::TicketsWrite),
    row("UpdateTask", ALL, Scope::TicketsWrite),
    row("DeleteTask", ALL, Scope::TicketsWrite),
    row("ListTasks", ALL, Scope::TicketsRead),
    row("AddFollower", ALL, Scope::TicketsWrite),
    row("RemoveFollower", ALL, Scope::TicketsWrite),
    row("SnoozeTicket", ALL, Scope::TicketsWrite),
    row("WakeTicket", ALL, Scope::TicketsWrite),
    row("LinkTickets", ALL, Scope::TicketsWrite),
    row("UnlinkTickets", ALL, Scope::TicketsWrite),
    row("BroadcastReply", PEOPLE, Scope::TicketsWrite),
];

/// The row for the path of a call, `/package.Service/Method`.
#[must_use]
pub fn of_path(path: &str) -> Option<&'static Row> {
    static BY_PATH: LazyLock<HashMap<String, &'static Row>> = LazyLock::new(|| {
        let rows = TABLE.iter().flat_map(|service| {
            service
                .rows
                .iter()
                .map(move |row| (format!("/{}/{}", service.service, row.method), row))
        });
        rows.collect()
    });
    BY_PATH.get(path).copied()
}

/// The table as Markdown, for `docs/api/permissions.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Permissions\n\nWritten from the table in `crates/solmu-runtime/src/access/permissions.rs`; do not edit.\n\n\
         A call needs one of the roles. A token with scopes needs the scope besides; `write` covers `read` and `admin` \
         covers both. What has no row here is refused.\n",
    );
    for service in TABLE {
        let title = format!("\n## {}\n\n", service.service);
        text.push_str(&title);
        text.push_str("| Method | Roles | Scope |\n|---|---|---|\n");
        for row in service.rows {
            let roles: Vec<&str> = row.roles.iter().map(|role| role.as_str()).collect();
            let (method, roles, scope) = (row.method, roles.join(", "), row.scope);
            let line = format!("| `{method}` | {roles} | `{scope}` |\n");
            text.push_str(&line);
        }
    }
    text
}

pub(super) fn wrong_role(wanted: &[Role]) -> ApiError {
    let wanted: Vec<&str> = wanted.iter().map(|role| role.as_str()).collect();
    ApiError::PermissionDenied {
        reason: "ROLE_REQUIRED",
        message: format!("this call needs a token of role {}", wanted.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;

    fn described() -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(solmu_proto::DESCRIPTOR_SET).unwrap();
        let mut paths = BTreeSet::new();
        for file in &set.file {
            for service in &file.service {
                for method in &service.method {
                    paths.insert(format!(
                        "/{}.{}/{}",
                        file.package(),
                        service.name(),
                        method.name()
                    ));
                }
            }
        }
        paths
    }

    #[test]
    fn every_method_has_a_row_and_every_row_a_method() {
        let described = described();
        let missing: Vec<&String> = described
            .iter()
            .filter(|path| of_path(path).is_none())
            .collect();
        assert!(
            missing.is_empty(),
            "these methods are refused to everybody: add row(\"<Method>\", <roles>, Scope::<Area><Level>) for each to \
             its service in TABLE of crates/solmu-runtime/src/access/permissions.rs: {missing:#?}"
        );
        let mut seen = BTreeSet::new();
        for service in TABLE {
            for row in service.rows {
                let path = format!("/{}/{}", service.service, row.method);
                assert!(
                    described.contains(&path),
                    "{path} has a row and is in no proto file: remove the row"
                );
                assert!(!row.roles.is_empty(), "{path} is for nobody");
                assert!(seen.insert(path.clone()), "{path} has two rows");
            }
        }
    }

    #[test]
    fn what_only_reads_asks_for_reading_only() {
        for service in TABLE {
            for row in service.rows {
                let reads = ["Get", "List", "Watch", "BatchGet", "Search", "Count"];
                let changes = [
                    "Create", "Update", "Delete", "Erase", "Set", "Merge", "Revoke",
                ];
                let named = |words: &[&str]| words.iter().any(|word| row.method.starts_with(word));
                let reading = row
                    .scope
                    .as_str()
                    .rsplit_once('.')
                    .is_some_and(|(_, right)| right == "read");
                assert!(
                    !(named(&changes) && reading),
                    "{}/{} changes something and asks for {}",
                    service.service,
                    row.method,
                    row.scope
                );
                assert!(
                    !named(&reads) || reading || row.roles == ADMIN,
                    "{}/{} reads and asks for {}",
                    service.service,
                    row.method,
                    row.scope
                );
            }
        }
    }

    /// Renew with `UPDATE_GOLDEN=1 cargo xtask test -p solmu-runtime permissions`.
    #[test]
    fn the_page_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api/permissions.md");
        let fresh = markdown();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &fresh).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == fresh,
            "docs/api/permissions.md is stale: UPDATE_GOLDEN=1 cargo xtask test -p solmu-runtime permissions"
        );
    }
}
