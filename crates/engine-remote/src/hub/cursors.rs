//! The service `Cursors`.

use std::sync::Arc;

use fanfare_consumer::Cursors;
use fanfare_proto::engine as proto;
use tonic::{Request, Response, Status};

use crate::wire::cursors as form;
use crate::wire::refusal::cursor_status;

pub(super) struct Service(pub(super) Arc<dyn Cursors>);

#[tonic::async_trait]
impl proto::cursors_server::Cursors for Service {
    async fn get(&self, request: Request<proto::CursorKey>) -> Result<Response<proto::GetCursorResponse>, Status> {
        let key = form::to_key(Some(request.get_ref()))?;
        let record = self.0.get(&key).await.map_err(|error| cursor_status(&error))?;
        Ok(Response::new(form::got(record.as_ref())))
    }

    async fn swap(&self, request: Request<proto::SwapRequest>) -> Result<Response<proto::SwapResponse>, Status> {
        let swap = form::to_swap(request.into_inner())?;
        let swapped = self.0.swap(swap).await.map_err(|error| cursor_status(&error))?;
        Ok(Response::new(form::swapped(&swapped)))
    }

    async fn list(
        &self,
        request: Request<proto::ListCursorsRequest>,
    ) -> Result<Response<proto::ListCursorsResponse>, Status> {
        let page = self.0.list(form::to_list(request.get_ref())?).await.map_err(|error| cursor_status(&error))?;
        Ok(Response::new(form::page(&page)))
    }
}
