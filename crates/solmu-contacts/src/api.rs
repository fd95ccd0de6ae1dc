//! `ContactService`: what callers say is checked here, the other modules do the rest.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _};
use solmu_domain::ids::new_uuid;
use solmu_proto::contact::v1::{self as proto, contact_service_server::ContactService};
use solmu_runtime::{
    ApiError,
    access::{Role, Visibility, caller},
    page,
    request::{optional_uuid, uuid},
};
use tonic::{Request, Response, Status};

use crate::{
    attributes,
    calls::{Asked, actor_of, asked, reason},
    change, condition_values,
    context::Context,
    encounters, erase, export,
    graph::{self, Joining},
    list, merging, organizations, read, suggestions,
};

/// Who may read contacts and work on them.
const PEOPLE: &[Role] = &[Role::Admin, Role::Agent, Role::Service];
/// Who decides what must not happen by itself.
const STAFF: &[Role] = &[Role::Admin, Role::Agent];

/// The service.
pub(crate) struct Contacts {
    pub(crate) context: Arc<Context>,
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ContactService for Contacts {
    type ExportContactStream =
        Pin<Box<dyn Stream<Item = Result<proto::ExportContactResponse, Status>> + Send>>;

    async fn get_contact(
        &self,
        request: Request<proto::GetContactRequest>,
    ) -> Answer<proto::Contact> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let id = uuid("id", &request.get_ref().id)?;
        self.contact(id, caller.visibility()).await
    }

    async fn list_contacts(
        &self,
        request: Request<proto::ListContactsRequest>,
    ) -> Answer<proto::ListContactsResponse> {
        let caller = caller(&request)?;
        caller.require(PEOPLE)?;
        let max = self.context.limits.max_page_size;
        let sight = caller.visibility();
        let listed = list::contacts(&self.context.db, request.get_ref(), max, sight).await?;
        Ok(Response::new(listed))
    }

    async fn create_contact(
        &self,
        request: Request<proto::CreateContactRequest>,
    ) -> Answer<proto::Contact> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let asked = asked(&by, "create contact", &request.request_id, &request)?;
        let contact = request.contact.unwrap_or_default();
        let id = change::create(&self.context, contact, asked, by);
        self.contact(id.await.map_err(ApiError::from)?, &sight)
            .await
    }

    async fn update_contact(
        &self,
        request: Request<proto::UpdateContactRequest>,
    ) -> Answer<proto::Contact> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let asked = asked(&by, "update contact", &request.request_id, &request)?;
        let contact = request.contact.unwrap_or_default();
        let id = uuid("contact.id", &contact.id)?;
        let mask = request.update_mask.map(|it| it.paths).unwrap_or_default();
        change::update(&self.context, contact, mask, asked)
            .await
            .map_err(ApiError::from)?;
        self.contact(id, &sight).await
    }

    async fn merge_contacts(
        &self,
        request: Request<proto::MergeContactsRequest>,
    ) -> Answer<proto::Contact> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let winner = uuid("contact_id", &request.contact_id)?;
        let loser = uuid("merged_contact_id", &request.merged_contact_id)?;
        if winner == loser {
            return Err(ApiError::invalid("merged_contact_id", "is the same contact").into());
        }
        let asked = asked(&by, "merge contacts", &request.request_id, &request)?;
        let joining = Joining {
            id: new_uuid(self.context.clock.as_ref(), self.context.rng.as_ref()),
            winner,
            loser,
            rule: graph::BY_HAND.to_owned(),
            evidence: String::new(),
            actor: by,
            reason: reason(request.reason)?,
            request_id: Some(request.request_id).filter(|id| !id.is_empty()),
        };
        merging::merge(&self.context, joining, asked)
            .await
            .map_err(ApiError::from)?;
        self.contact(winner, &sight).await
    }

    async fn unmerge_contact(
        &self,
        request: Request<proto::UnmergeContactRequest>,
    ) -> Answer<proto::UnmergeContactResponse> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let merge = uuid("merge_id", &request.merge_id)?;
        let asked = asked(&by, "unmerge contact", &request.request_id, &request)?;
        let (contact, unmerged) =
            merging::unmerge(&self.context, merge, reason(request.reason)?, by, asked)
                .await
                .map_err(ApiError::from)?;
        Ok(Response::new(proto::UnmergeContactResponse {
            contact: Some(self.contact(contact, &sight).await?.into_inner()),
            unmerged_contact: Some(self.contact(unmerged, &sight).await?.into_inner()),
        }))
    }

    async fn list_merges(
        &self,
        request: Request<proto::ListMergesRequest>,
    ) -> Answer<proto::ListMergesResponse> {
        caller(&request)?.require(PEOPLE)?;
        let request = request.get_ref();
        let contact = uuid("contact_id", &request.contact_id)?;
        let size = page::size(request.page_size, 50, self.context.limits.max_page_size)?;
        let query = format!("merges {contact}");
        let after = page::decode(&query, &request.page_token)?;
        let mut connection = self.connection().await?;
        let mut merges = read::merges(&mut connection, contact, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut merges, size);
        let next_page_token = match merges.last().filter(|_| more) {
            Some(last) => page::encode(&query, position(last.merge_time.as_ref(), &last.id)?),
            None => String::new(),
        };
        Ok(Response::new(proto::ListMergesResponse {
            merges,
            next_page_token,
        }))
    }

    async fn list_merge_suggestions(
        &self,
        request: Request<proto::ListMergeSuggestionsRequest>,
    ) -> Answer<proto::ListMergeSuggestionsResponse> {
        caller(&request)?.require(PEOPLE)?;
        let request = request.get_ref();
        let contact = optional_uuid("contact_id", &request.contact_id)?;
        let size = page::size(request.page_size, 50, self.context.limits.max_page_size)?;
        let query = format!("merge suggestions {}", request.contact_id);
        let after: Option<suggestions::Position> = page::decode(&query, &request.page_token)?;
        let mut found = suggestions::list(&self.context.db, contact, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut found, size);
        let next_page_token = found
            .last()
            .filter(|_| more)
            .map(|last| {
                let (first, second) = last.stored;
                page::encode(&query, (last.created_at.as_microsecond(), first, second))
            })
            .unwrap_or_default();
        let suggestions = found.into_iter().map(|it| proto::MergeSuggestion {
            first_contact_id: it.first.to_string(),
            second_contact_id: it.second.to_string(),
            reason: it.reason,
            kind: it.kind.into(),
            value: it.value,
            create_time: Some(solmu_bus::envelope::to_proto_time(it.created_at)),
        });
        Ok(Response::new(proto::ListMergeSuggestionsResponse {
            suggestions: suggestions.collect(),
            next_page_token,
        }))
    }

    async fn dismiss_merge_suggestion(
        &self,
        request: Request<proto::DismissMergeSuggestionRequest>,
    ) -> Answer<proto::DismissMergeSuggestionResponse> {
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.get_ref();
        let first = uuid("first_contact_id", &request.first_contact_id)?;
        let second = uuid("second_contact_id", &request.second_contact_id)?;
        let asked = asked(&by, "dismiss suggestion", &request.request_id, request)?;
        merging::dismiss(&self.context, first, second, &by.id, asked)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(proto::DismissMergeSuggestionResponse {}))
    }

    async fn list_encounters(
        &self,
        request: Request<proto::ListEncountersRequest>,
    ) -> Answer<proto::ListEncountersResponse> {
        caller(&request)?.require(PEOPLE)?;
        let visibility = caller(&request)?.visibility().clone();
        let request = request.get_ref();
        let contact = uuid("contact_id", &request.contact_id)?;
        let size = page::size(request.page_size, 50, self.context.limits.max_page_size)?;
        let query = format!("encounters {contact}");
        let after = page::decode(&query, &request.page_token)?;
        let mut connection = self.connection().await?;
        let mut encounters =
            encounters::list(&mut connection, contact, after, size + 1, &visibility)
                .await
                .map_err(ApiError::from)?;
        let more = page::cut(&mut encounters, size);
        let next_page_token = match encounters.last().filter(|_| more) {
            Some(last) => page::encode(
                &query,
                position(last.create_time.as_ref(), &last.message_id)?,
            ),
            None => String::new(),
        };
        Ok(Response::new(proto::ListEncountersResponse {
            encounters,
            next_page_token,
        }))
    }

    async fn block_contact(
        &self,
        request: Request<proto::BlockContactRequest>,
    ) -> Answer<proto::Contact> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, STAFF)?;
        let request = request.into_inner();
        let id = uuid("contact_id", &request.contact_id)?;
        let asked = asked(&by, "block contact", &request.request_id, &request)?;
        self.block(id, Some(reason(request.reason)?), asked, &sight)
            .await
    }

    async fn unblock_contact(
        &self,
        request: Request<proto::UnblockContactRequest>,
    ) -> Answer<proto::Contact> {
        let sight = caller(&request)?.visibility().clone();
        let by = actor_of(caller(&request)?, STAFF)?;
        let request = request.get_ref();
        let id = uuid("contact_id", &request.contact_id)?;
        let asked = asked(&by, "unblock contact", &request.request_id, request)?;
        self.block(id, None, asked, &sight).await
    }

    async fn export_contact(
        &self,
        request: Request<proto::ExportContactRequest>,
    ) -> Answer<Self::ExportContactStream> {
        caller(&request)?.require(&[Role::Admin])?;
        let id = uuid("contact_id", &request.get_ref().contact_id)?;
        let begun = export::begin(&self.context.db, id)
            .await
            .map_err(ApiError::from)?;
        let db = self.context.db.clone();
        let parts = futures::stream::try_unfold(begun, move |at| {
            let db = db.clone();
            async move {
                export::next(&db, at)
                    .await
                    .map_err(|error| Status::from(ApiError::from(error)))
            }
        });
        let lines = parts.flat_map(|part| {
            let lines: Vec<Result<_, Status>> = match part {
                Ok(lines) => lines
                    .into_iter()
                    .map(|line| Ok(proto::ExportContactResponse { line }))
                    .collect(),
                Err(status) => vec![Err(status)],
            };
            futures::stream::iter(lines)
        });
        Ok(Response::new(Box::pin(lines)))
    }

    async fn erase_contact(
        &self,
        request: Request<proto::EraseContactRequest>,
    ) -> Answer<proto::EraseContactResponse> {
        let by = actor_of(caller(&request)?, &[Role::Admin])?;
        let request = request.into_inner();
        let id = uuid("contact_id", &request.contact_id)?;
        let erased = erase::erase(&self.context, id, request.confirm_display_name, by)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(proto::EraseContactResponse {
            contact_ids: erased.contacts.iter().map(ToString::to_string).collect(),
            messages: erased.messages,
            objects: erased.objects,
        }))
    }

    async fn create_contact_attribute(
        &self,
        request: Request<proto::CreateContactAttributeRequest>,
    ) -> Answer<proto::ContactAttribute> {
        caller(&request)?.require(&[Role::Admin])?;
        let attribute = request.into_inner().attribute.unwrap_or_default();
        let now = self.context.clock.now();
        attributes::create(&self.context.db, &attribute, now)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(attribute))
    }

    async fn list_contact_attributes(
        &self,
        request: Request<proto::ListContactAttributesRequest>,
    ) -> Answer<proto::ListContactAttributesResponse> {
        caller(&request)?.require(PEOPLE)?;
        let of = request.get_ref().subject();
        let attributes = attributes::list(&self.context.db, of)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(proto::ListContactAttributesResponse {
            attributes,
        }))
    }

    async fn delete_contact_attribute(
        &self,
        request: Request<proto::DeleteContactAttributeRequest>,
    ) -> Answer<proto::DeleteContactAttributeResponse> {
        caller(&request)?.require(&[Role::Admin])?;
        let request = request.get_ref();
        attributes::delete(&self.context.db, request.subject(), &request.name)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(proto::DeleteContactAttributeResponse {}))
    }

    async fn create_organization(
        &self,
        request: Request<proto::CreateOrganizationRequest>,
    ) -> Answer<proto::Organization> {
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let asked = asked(&by, "create organization", &request.request_id, &request)?;
        let organization = request.organization.unwrap_or_default();
        if organization.display_name.trim().is_empty() {
            return Err(ApiError::invalid("organization.display_name", "must not be empty").into());
        }
        let id = organizations::create(&self.context, organization, asked)
            .await
            .map_err(ApiError::from)?;
        self.organization(id).await
    }

    async fn get_organization(
        &self,
        request: Request<proto::GetOrganizationRequest>,
    ) -> Answer<proto::Organization> {
        caller(&request)?.require(PEOPLE)?;
        self.organization(uuid("id", &request.get_ref().id)?).await
    }

    async fn list_organizations(
        &self,
        request: Request<proto::ListOrganizationsRequest>,
    ) -> Answer<proto::ListOrganizationsResponse> {
        caller(&request)?.require(PEOPLE)?;
        let request = request.get_ref();
        let size = page::size(request.page_size, 50, self.context.limits.max_page_size)?;
        let after = page::decode("organizations", &request.page_token)?;
        let mut organizations = organizations::list(&self.context.db, after, size + 1)
            .await
            .map_err(ApiError::from)?;
        let more = page::cut(&mut organizations, size);
        let next_page_token = match organizations.last().filter(|_| more) {
            Some(last) => page::encode(
                "organizations",
                position(last.create_time.as_ref(), &last.id)?,
            ),
            None => String::new(),
        };
        Ok(Response::new(proto::ListOrganizationsResponse {
            organizations,
            next_page_token,
        }))
    }

    async fn update_organization(
        &self,
        request: Request<proto::UpdateOrganizationRequest>,
    ) -> Answer<proto::Organization> {
        let by = actor_of(caller(&request)?, PEOPLE)?;
        let request = request.into_inner();
        let asked = asked(&by, "update organization", &request.request_id, &request)?;
        let mask = request.update_mask.map(|it| it.paths).unwrap_or_default();
        let organization = request.organization.unwrap_or_default();
        let id = organizations::update(&self.context, organization, mask, asked)
            .await
            .map_err(ApiError::from)?;
        self.organization(id).await
    }

    async fn batch_get_condition_values(
        &self,
        request: Request<proto::BatchGetConditionValuesRequest>,
    ) -> Answer<proto::BatchGetConditionValuesResponse> {
        caller(&request)?.require(&[Role::Admin, Role::Service])?;
        let asked = condition_values::Asked::of(request.get_ref())?;
        let mut connection = self.connection().await?;
        let values = condition_values::fetch(&mut connection, &asked)
            .await
            .map_err(ApiError::from)?;
        Ok(Response::new(values))
    }
}

impl Contacts {
    async fn connection(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, ApiError> {
        let connection = self.context.db.pool().acquire().await;
        connection.map_err(|error| ApiError::Database(error.into()))
    }

    /// The contact as somebody sees it who sees these tickets.
    async fn contact(&self, id: uuid::Uuid, sight: &Visibility) -> Answer<proto::Contact> {
        let mut connection = self.connection().await?;
        let contact = read::contact(&mut connection, id, sight).await;
        Ok(Response::new(contact.map_err(ApiError::from)?))
    }

    async fn organization(&self, id: uuid::Uuid) -> Answer<proto::Organization> {
        let organization = organizations::get(&self.context.db, id).await;
        Ok(Response::new(organization.map_err(ApiError::from)?))
    }

    async fn block(
        &self,
        id: uuid::Uuid,
        reason: Option<String>,
        asked: Option<Asked>,
        sight: &Visibility,
    ) -> Answer<proto::Contact> {
        change::block(&self.context, id, reason, asked)
            .await
            .map_err(ApiError::from)?;
        self.contact(id, sight).await
    }
}

/// Where a page ends: time and id of its last row.
fn position(at: Option<&prost_types::Timestamp>, id: &str) -> Result<(i64, uuid::Uuid), ApiError> {
    let at = at
        .map(solmu_bus::envelope::from_proto_time)
        .unwrap_or_default();
    Ok((at.as_microsecond(), uuid("id", id)?))
}
