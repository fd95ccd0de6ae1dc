//! Rules.

use solmu_bus::envelope::to_proto_time;
use solmu_conditions::Checked;
use solmu_db::outbox::{self, Owner};
use solmu_domain::ids::{RuleId, TeamId};
use solmu_inquiry::Watched;
use solmu_proto::routing::v1 as proto;
use solmu_runtime::{ApiError, calls::Asked};

use super::{Resource, Service, once::CALLS, parse, people::need_teams, restricting};
use crate::{
    core::rules::needs_text,
    store::{
        people::agent_lock,
        rule::{RuleSpec, rule_delete, rule_lock, rule_save, rule_versions, rules_fetch},
    },
};

/// Versions of a rule that one answer shows.
const VERSIONS_SHOWN: i64 = 100;

impl Service {
    pub(super) async fn rule_create(
        &self,
        rule: Option<proto::Rule>,
        asked: Option<Asked>,
    ) -> Result<proto::Rule, ApiError> {
        let rule = rule.ok_or_else(|| ApiError::invalid("rule", "is missing"))?;
        let (spec, condition) = parse::rule(&rule)?;
        self.check_texts(&spec, &condition)?;
        self.check_fields(&condition).await?;
        let id = RuleId::generate(self.clock.as_ref(), self.rng.as_ref());
        self.rule_store(id, spec, (None, asked)).await
    }

    /// Replaces a rule. If the request names a version, it must be the present one.
    pub(super) async fn rule_change(
        &self,
        rule: Option<proto::Rule>,
    ) -> Result<proto::Rule, ApiError> {
        let rule = rule.ok_or_else(|| ApiError::invalid("rule", "is missing"))?;
        let id: RuleId = parse::id("rule.id", &rule.id)?;
        let (spec, condition) = parse::rule(&rule)?;
        self.check_texts(&spec, &condition)?;
        self.check_fields(&condition).await?;
        self.rule_store(id, spec, (Some(rule.version), None)).await
    }

    /// `replaces`: the version of the rule that is there, 0 for any; absent for a new rule. The call under a request id is
    /// made once.
    async fn rule_store(
        &self,
        id: RuleId,
        spec: RuleSpec,
        (replaces, asked): (Option<i64>, Option<Asked>),
    ) -> Result<proto::Rule, ApiError> {
        let event = self.changed(Resource::Rule, &id);
        let now = self.clock.now();
        let id = self
            .db
            .tx("routing.save_rule", |tx| {
                let (spec, event, zone) = (spec.clone(), event.clone(), self.zone.clone());
                let asked = asked.clone();
                Box::pin(async move {
                    let known = CALLS.first(tx, asked.as_ref(), id.as_uuid(), now).await?;
                    if known != id.as_uuid() {
                        return Ok(RuleId::from_uuid(known));
                    }
                    if let Some(wanted) = replaces {
                        let present = rule_lock(tx, id).await?;
                        let present = present.ok_or_else(|| ApiError::not_found("rule", &id))?;
                        if wanted != 0 && wanted != present {
                            return Err(ApiError::Aborted {
                                reason: "RULE_CHANGED",
                                message: "the rule was changed meanwhile; read it again".to_owned(),
                            });
                        }
                    }
                    let team: Vec<TeamId> = spec.actions.team.into_iter().collect();
                    need_teams(tx, &team, "rule.team_id").await?;
                    if let Some(agent) = spec.actions.agent
                        && !agent_lock(tx, agent).await?
                    {
                        let missing = format!("there is no agent '{agent}'");
                        return Err(ApiError::invalid("rule.agent_id", missing));
                    }
                    rule_save(tx, id, &spec, now).await?;
                    restricting::keep(tx, id, &spec, &zone).await?;
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok(id)
                })
            })
            .await?;
        let warnings = self.warnings(&spec).await?;
        if !warnings.is_empty() {
            let count = warnings.len();
            tracing::info!(rule.id = %id, count, "a rule was saved, and its answer warns");
        }
        let row = rules_fetch(self.db.pool(), Some(id)).await?.pop();
        let row = row.ok_or_else(|| ApiError::not_found("rule", &id))?;
        Ok(proto::Rule {
            warnings,
            ..row.into()
        })
    }

    pub(super) async fn rule_list(&self) -> Result<Vec<proto::Rule>, ApiError> {
        let rows = rules_fetch(self.db.pool(), None).await?;
        Ok(rows.into_iter().map(proto::Rule::from).collect())
    }

    pub(super) async fn rule_remove(&self, id: RuleId) -> Result<(), ApiError> {
        let event = self.changed(Resource::Rule, &id);
        let now = self.clock.now();
        self.db
            .tx("routing.delete_rule", |tx| {
                let event = event.clone();
                Box::pin(async move {
                    if !rule_delete(tx, id, now).await? {
                        return Err(ApiError::not_found("rule", &id));
                    }
                    outbox::add(tx, Owner::Routing, vec![event], now).await?;
                    Ok(())
                })
            })
            .await?;
        Ok(())
    }

    pub(super) async fn rule_history(
        &self,
        id: RuleId,
    ) -> Result<Vec<proto::RuleVersion>, ApiError> {
        let kept = rule_versions(self.db.pool(), id, VERSIONS_SHOWN).await?;
        if kept.is_empty() {
            return Err(ApiError::not_found("rule", &id));
        }
        let versions = kept
            .into_iter()
            .map(|(row, deleted, at)| proto::RuleVersion {
                rule: Some(row.into()),
                change_time: Some(to_proto_time(at)),
                deleted,
            });
        Ok(versions.collect())
    }

    /// A rule that looks at words, or at a contact, is of no use where nobody can say them. One that restricts is asked by
    /// who can.
    fn check_texts(&self, spec: &RuleSpec, condition: &Checked) -> Result<(), ApiError> {
        let asks = needs_text(condition) || !Watched::of(condition).is_empty();
        let elsewhere = spec.actions.restrict.is_some();
        if !spec.enabled || elsewhere || self.texts.is_configured() || !asks {
            return Ok(());
        }
        Err(ApiError::FailedPrecondition {
            reason: "TEXTS_NOT_CONFIGURED",
            message:
                "a rule on words, sender, or fields of the contact or its organisations needs \
                router.tickets_endpoint to be configured"
                    .to_owned(),
        })
    }
}
