//! Policies: each edit is a new version, and says itself what it does to open tickets.

use jiff::Timestamp;
use solmu_conditions::Checked;
use solmu_domain::{
    ids::PolicyId,
    sla::{ActionKind, OnEdit, Step},
};
use solmu_inquiry::{Watched, check, definitions_for};
use solmu_proto::sla::v1 as proto;
use solmu_runtime::{ApiError, api_error::Violation};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{SlaServer, check_etag};
use crate::{
    policy_set::PolicyKey,
    store::{
        catalogue::{self as store, PolicyRow},
        edits,
    },
    wanted::{WantedPolicy, etag, id_in, policy_to_proto},
};

impl SlaServer {
    pub(super) async fn create_policy(
        &self,
        request: proto::CreatePolicyRequest,
    ) -> Result<proto::Policy, ApiError> {
        let dry = request.validate_only;
        let wanted = WantedPolicy::parse(request.policy)?;
        self.check_fields(&wanted.condition).await?;
        self.check_agents(&wanted.terms.rules.steps).await?;
        let id = PolicyId::generate(self.maker.clock.as_ref(), self.maker.rng.as_ref());
        let row = row_of(PolicyKey { id, version: 1 }, wanted);
        let now = self.maker.clock.now();
        self.db
            .tx("sla.create_policy", |tx| {
                let row = row.clone();
                Box::pin(async move {
                    if dry {
                        check_name(tx, &row).await?;
                        return check_calendar(tx, &row).await;
                    }
                    store::lock(tx).await?;
                    check_name(tx, &row).await?;
                    policy_write(tx, &row, now).await?;
                    // It may be the first that holds for tickets that are open already.
                    edit_begin(tx, &row, now).await
                })
            })
            .await?;
        if !dry {
            tracing::info!(policy.id = %row.key.id, "policy created");
        }
        Ok(policy_to_proto(&row))
    }

    pub(super) async fn get_policy(
        &self,
        request: proto::GetPolicyRequest,
    ) -> Result<proto::Policy, ApiError> {
        let id: PolicyId = id_in("id", &request.id)?;
        let mut connection = self.connection().await?;
        let row = policy_current(&mut connection, id).await?;
        Ok(policy_to_proto(&row))
    }

    pub(super) async fn list_policies(
        &self,
        _: proto::ListPoliciesRequest,
    ) -> Result<proto::ListPoliciesResponse, ApiError> {
        let mut connection = self.connection().await?;
        let rows = store::policy_list(&mut connection).await?;
        let current = rows.iter().filter(|row| row.current);
        let policies = current.map(policy_to_proto).collect();
        Ok(proto::ListPoliciesResponse { policies })
    }

    pub(super) async fn update_policy(
        &self,
        request: proto::UpdatePolicyRequest,
    ) -> Result<proto::Policy, ApiError> {
        let given = request.policy.as_ref();
        let id: PolicyId = id_in("policy.id", given.map_or("", |it| it.id.as_str()))?;
        let etag = given.map(|it| it.etag.clone()).unwrap_or_default();
        let dry = request.validate_only;
        let wanted = WantedPolicy::parse(request.policy)?;
        self.check_fields(&wanted.condition).await?;
        self.check_agents(&wanted.terms.rules.steps).await?;
        let row = row_of(PolicyKey { id, version: 0 }, wanted);
        let now = self.maker.clock.now();
        let row = self
            .db
            .tx("sla.update_policy", |tx| {
                let (row, etag) = (row.clone(), etag.clone());
                Box::pin(async move { policy_update(tx, row, &etag, dry, now).await })
            })
            .await?;
        if !dry {
            tracing::info!(policy.id = %row.key.id, version = row.key.version, "policy updated");
        }
        Ok(policy_to_proto(&row))
    }

    pub(super) async fn delete_policy(
        &self,
        request: proto::DeletePolicyRequest,
    ) -> Result<proto::DeletePolicyResponse, ApiError> {
        let id: PolicyId = id_in("id", &request.id)?;
        self.db
            .tx("sla.delete_policy", |tx| {
                let etag = request.etag.clone();
                Box::pin(async move { policy_delete(tx, id, &etag).await })
            })
            .await?;
        tracing::info!(policy.id = %id, "policy deleted");
        Ok(proto::DeletePolicyResponse {})
    }
}

impl SlaServer {
    /// Refuses steps for agents who are not there: nobody would be told, and nobody would know. Where the router is not
    /// beside whom we ask, or does not answer, they are taken as they are.
    async fn check_agents(&self, steps: &[Step]) -> Result<(), ApiError> {
        let named = steps.iter().enumerate().filter_map(|(index, step)| {
            let text = match step.action {
                ActionKind::AddFollower | ActionKind::Notify => step.target.as_str(),
                ActionKind::Reassign => step.target.strip_prefix("agent:")?,
                ActionKind::Warn | ActionKind::RaisePriority | ActionKind::Webhook => return None,
            };
            Some((index, text.parse::<Uuid>().ok()?))
        });
        let named: Vec<(usize, Uuid)> = named.collect();
        let source = self.worker.inquiry.as_ref();
        if named.is_empty() || !source.is_configured() {
            return Ok(());
        }
        let agents = match source.agents().await {
            Ok(agents) => agents,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "cannot check the agents of a policy's steps");
                return Ok(());
            }
        };
        let missing = named.iter().filter(|(_, id)| !agents.contains(id));
        let violations: Vec<Violation> = missing
            .map(|(index, id)| {
                let field = format!("policy.steps[{index}].target");
                Violation::new(field, format!("there is no agent '{id}'"))
            })
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(ApiError::InvalidArgument { violations })
        }
    }

    /// Refuses a condition that names own fields which are not there, or compares them with what they never hold; and one
    /// on contacts where nobody can be asked about them. While the ticket service does not answer, it is taken as it is.
    async fn check_fields(&self, condition: &Checked) -> Result<(), ApiError> {
        let source = self.worker.inquiry.as_ref();
        if !source.is_configured() {
            if Watched::of(condition).is_empty() {
                return Ok(());
            }
            return Err(ApiError::FailedPrecondition {
                reason: "TICKETS_NOT_CONFIGURED",
                message: "a policy on fields of the contact or its organisations needs \
                    sla.tickets_endpoint to be configured"
                    .to_owned(),
            });
        }
        let definitions = match definitions_for(condition, source).await {
            Ok(definitions) => definitions,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot check the own fields of a policy");
                return Ok(());
            }
        };
        let faults = check(condition, &definitions).into_iter();
        let violations: Vec<Violation> = faults
            .map(|sentence| Violation::new("policy.condition", sentence))
            .collect();
        if violations.is_empty() {
            Ok(())
        } else {
            Err(ApiError::InvalidArgument { violations })
        }
    }
}

fn row_of(key: PolicyKey, wanted: WantedPolicy) -> PolicyRow {
    PolicyRow {
        key,
        current: true,
        position: wanted.position,
        display_name: wanted.display_name,
        condition: wanted.condition.to_filter_string(),
        tree: wanted.condition.condition().clone(),
        calendar: wanted.calendar,
        terms: wanted.terms,
    }
}

async fn policy_current(tx: &mut PgConnection, id: PolicyId) -> Result<PolicyRow, ApiError> {
    let rows = store::policy_list(tx).await?;
    let current = rows.into_iter().find(|row| row.current && row.key.id == id);
    current.ok_or_else(|| ApiError::not_found("policy", &id))
}

async fn policy_write(
    tx: &mut PgConnection,
    row: &PolicyRow,
    now: Timestamp,
) -> Result<(), ApiError> {
    store::revise(tx).await?;
    check_calendar(tx, row).await?;
    Ok(store::policy_insert(tx, row, now).await?)
}

/// People and files name policies: two of one name could not be told apart. Those that are there already keep theirs.
async fn check_name(tx: &mut PgConnection, row: &PolicyRow) -> Result<(), ApiError> {
    if store::policy_named(tx, &row.display_name, row.key.id).await? {
        return Err(ApiError::AlreadyExists {
            resource: "policy",
            id: row.display_name.clone(),
        });
    }
    Ok(())
}

/// Whether a name becomes another one, but for its case.
pub(super) fn is_renamed(before: &str, now: &str) -> bool {
    before.to_lowercase() != now.to_lowercase()
}

async fn check_calendar(tx: &mut PgConnection, row: &PolicyRow) -> Result<(), ApiError> {
    if store::calendar_fetch(tx, row.calendar).await?.is_none() {
        let message = format!("there is no calendar '{}'", row.calendar);
        return Err(ApiError::invalid("policy.calendar_id", message));
    }
    Ok(())
}

async fn policy_update(
    tx: &mut PgConnection,
    mut row: PolicyRow,
    given: &str,
    dry: bool,
    now: Timestamp,
) -> Result<PolicyRow, ApiError> {
    store::lock(tx).await?;
    let before = policy_current(tx, row.key.id).await?;
    check_etag(given, &etag(before.key.version))?;
    row.key.version = before.key.version + 1;
    if is_renamed(&before.display_name, &row.display_name) {
        check_name(tx, &row).await?;
    }
    if dry {
        check_calendar(tx, &row).await?;
        return Ok(row);
    }
    store::policy_retire(tx, row.key.id).await?;
    policy_write(tx, &row, now).await?;
    edit_begin(tx, &row, now).await?;
    Ok(row)
}

/// Lets an edit reach the open tickets, if the policy says so.
pub(super) async fn edit_begin(
    tx: &mut PgConnection,
    row: &PolicyRow,
    now: Timestamp,
) -> Result<(), ApiError> {
    let recompute = match row.terms.rules.on_edit {
        OnEdit::NewTickets => return Ok(()),
        OnEdit::FromNowOn => false,
        OnEdit::Recompute => true,
    };
    Ok(edits::edit_insert(tx, row.key.id, recompute, now).await?)
}

async fn policy_delete(tx: &mut PgConnection, id: PolicyId, given: &str) -> Result<(), ApiError> {
    store::revise(tx).await?;
    let current = policy_current(tx, id).await?;
    check_etag(given, &etag(current.key.version))?;
    store::policy_retire(tx, id).await?;
    Ok(())
}
