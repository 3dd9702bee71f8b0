//! Repositories and images, as the management API shows them: also where clients have no accounts.

use actix_web::web::Data;
use async_graphql::{ComplexObject, Context, OutputType, Result};
use tokio::sync::Semaphore;

use super::super::Api;
use super::count::Count;
use super::error::coded;
use super::images::{Contents, Image, ImageSize, NamespaceUsage};
use super::lists::List;
use super::moment::Moment;
use super::types::Repository;
use super::visibility::{denied, read, refusal};
use crate::accounts::PageRequest;
use crate::auth::{Caller, CatalogGrant, Meant, PullGrant};
use crate::index::SeenImage;
use crate::oci::{Reference, RepositoryName};
use crate::registry::RegistryError;

/// What a field counts that the index adds up for an entry of a list.
pub(super) const SUM: usize = 60;

/// How many such sums are made at a time, of all requests: each takes a connection of the index, of which there are few.
static SUMS: Semaphore = Semaphore::const_new(2);

#[ComplexObject]
impl Image {
    /// What it takes
    #[graphql(complexity = "SUM + child_complexity")]
    async fn size(&self, context: &Context<'_>) -> Result<ImageSize> {
        let api = context.data::<Data<Api>>()?;
        let _permit = SUMS.acquire().await;
        let size = api.registry.image_size(&self.repository, &self.canonical).await;
        let size = size.map_err(|error| refusal(&error))?;
        let own = size.bytes.saturating_sub(size.shared);
        let [bytes, own, shared] = [size.bytes, own, size.shared].map(Count::of);
        Ok(ImageSize { bytes, own, shared })
    }
}

#[ComplexObject]
impl Repository {
    /// What it has; none: it is gone
    #[graphql(complexity = "SUM + child_complexity")]
    async fn contents(&self, context: &Context<'_>) -> Result<Option<Contents>> {
        let api = context.data::<Data<Api>>()?;
        let _permit = SUMS.acquire().await;
        let contents = api.registry.repository_contents(&read("show", &self.name)?).await;
        Ok(contents.map_err(|error| refusal(&error))?.map(Into::into))
    }
}

/// Lists the tags of a repository with their images.
pub(super) async fn images(
    context: &Context<'_>,
    repository: &str,
    page: PageRequest<'_>,
) -> Result<List<Image>> {
    let api = context.data::<Data<Api>>()?;
    let grant = pull(context, repository).await?;
    let limit = page.limit.clamp(1, PageRequest::MOST);
    let found = api.registry.tagged_images(&grant, page.after, limit + 1).await;
    let found = found.map_err(|error| refusal(&error))?;
    let is_public = api.registry.is_public_below(&grant).await.map_err(|error| refusal(&error))?;
    let name = grant.repository();
    let items = found.into_iter().map(|it| shown(it, name, is_public)).collect();
    Ok(paged(items, limit, |image| image.tag.clone().unwrap_or_default()))
}

/// Finds an image.
pub(super) async fn image(
    context: &Context<'_>,
    repository: &str,
    reference: &str,
) -> Result<Image> {
    let api = context.data::<Data<Api>>()?;
    let grant = pull(context, repository).await?;
    let read = reference.parse::<Reference>();
    let reference =
        read.map_err(|error| coded("INVALID", format!("cannot show the image: {error}")))?;
    let found = api.registry.seen_image(&grant, &reference).await.map_err(|error| match error {
        RegistryError::ManifestUnknown(..) => coded("NOT_FOUND", error.to_string()),
        error => refusal(&error),
    })?;
    let is_public = api.registry.is_public_below(&grant).await.map_err(|error| refusal(&error))?;
    Ok(shown(found, grant.repository(), is_public))
}

/// Lists repositories where clients have no accounts.
pub(super) async fn repositories(
    context: &Context<'_>,
    page: PageRequest<'_>,
) -> Result<List<Repository>> {
    let api = context.data::<Data<Api>>()?;
    let grant = catalog(context).await?;
    let limit = page.limit.clamp(1, PageRequest::MOST);
    let found = api.registry.all_repositories(&grant, page.after, limit + 1).await;
    let found = found.map_err(|error| refusal(&error))?;
    Ok(paged(found.into_iter().map(Into::into).collect(), limit, |it: &Repository| it.name.clone()))
}

/// Lists what namespaces have where clients have no accounts.
pub(super) async fn usage(
    context: &Context<'_>,
    page: PageRequest<'_>,
) -> Result<List<NamespaceUsage>> {
    let api = context.data::<Data<Api>>()?;
    let grant = catalog(context).await?;
    let limit = page.limit.clamp(1, PageRequest::MOST);
    let found = api.registry.usage(&grant, page.after, limit + 1).await;
    let found = found.map_err(|error| refusal(&error))?;
    let items = found.into_iter().map(Into::into).collect();
    Ok(paged(items, limit, |it: &NamespaceUsage| it.namespace.clone()))
}

/// Allows the caller to read a repository that is there. One that is hidden is as one that is not.
async fn pull(context: &Context<'_>, name: &str) -> Result<PullGrant> {
    let (api, caller) = (context.data::<Data<Api>>()?, context.data::<Caller>()?);
    let repository = read("show", name)?;
    let record = api.registry.record_for(caller, &repository).await;
    let record = record.map_err(|error| refusal(&error))?;
    let meant = Meant { record, ..repository.clone().into() };
    let grant = api.authority.pull(caller, meant).await;
    grant.map_err(|error| denied(error, &repository))
}

async fn catalog(context: &Context<'_>) -> Result<CatalogGrant> {
    let (api, caller) = (context.data::<Data<Api>>()?, context.data::<Caller>()?);
    let grant = api.authority.catalog(caller).await;
    grant.map_err(|_| coded("DENIED", "cannot list repositories: you may not; sign in"))
}

fn paged<T: OutputType>(mut items: Vec<T>, limit: u32, end: impl Fn(&T) -> String) -> List<T> {
    let has_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    let next = items.last().filter(|_| has_more).map(end);
    List { items, next }
}

fn shown(image: SeenImage, repository: &RepositoryName, is_public: bool) -> Image {
    Image {
        tag: image.tag.map(|tag| tag.to_string()),
        digest: image.digest.to_string(),
        media_type: image.media_type,
        cid: is_public.then(|| image.cid.to_string()),
        pushed: image.pushed.map(Moment::of),
        pulls: Count::of(image.pulls),
        last_pulled: image.last_pulled.map(Moment::of),
        config: image.config.map(|config| config.to_string()),
        repository: repository.clone(),
        canonical: image.canonical,
    }
}
