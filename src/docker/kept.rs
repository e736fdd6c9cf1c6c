//! What an engine keeps between jobs: volumes and images, listed and removed.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListImagesOptionsBuilder, ListVolumesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions,
};

use super::{
    engine::{Engine, Object},
    fault::{EngineError, failed, unless},
};

/// An image under one of its names.
#[derive(Debug, Clone)]
pub(crate) struct NamedImage {
    pub(crate) name: String,
    /// Seconds since 1970.
    pub(crate) created: i64,
}

impl Engine {
    /// The volumes that carry a label; a volume's id is its name.
    pub(crate) async fn volumes(&self, label: &str) -> Result<Vec<Object>, EngineError> {
        self.list_volumes("label", label).await
    }

    /// The names of volumes that hold this text.
    pub(crate) async fn volumes_named(&self, part: &str) -> Result<Vec<String>, EngineError> {
        let list = self.list_volumes("name", part).await?;
        Ok(list.into_iter().map(|volume| volume.id).collect())
    }

    async fn list_volumes(&self, key: &str, value: &str) -> Result<Vec<Object>, EngineError> {
        let filters = HashMap::from([(key, vec![value])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let list = self.docker.list_volumes(Some(options)).await;
        let list = list.map_err(failed("list volumes"))?;
        let volumes = list.volumes.unwrap_or_default().into_iter();
        Ok(volumes
            .map(|volume| Object {
                id: volume.name,
                labels: volume.labels,
            })
            .collect())
    }

    /// Removes a volume that no container uses; false where one does, or the volume is gone.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<bool, EngineError> {
        let removed = self
            .docker
            .remove_volume(name, None::<RemoveVolumeOptions>)
            .await;
        unless(&[404, 409], removed)
            .map(|removed| removed.is_some())
            .map_err(failed(format!("remove the volume {name}")))
    }

    /// The images of a repository that carry a label, a name each.
    pub(crate) async fn images(
        &self,
        repository: &str,
        label: &str,
    ) -> Result<Vec<NamedImage>, EngineError> {
        let filters = HashMap::from([("reference", vec![repository]), ("label", vec![label])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let list = self.docker.list_images(Some(options)).await;
        let list = list.map_err(failed("list images"))?;
        let named = |image: bollard::models::ImageSummary| {
            let created = image.created;
            let names = image.repo_tags.into_iter();
            names.map(move |name| NamedImage { name, created })
        };
        Ok(list.into_iter().flat_map(named).collect())
    }

    /// Removes an image that no container uses; false where one does, or the image is gone.
    pub(crate) async fn remove_image(&self, name: &str) -> Result<bool, EngineError> {
        let removed = self
            .docker
            .remove_image(name, None::<RemoveImageOptions>, None)
            .await;
        unless(&[404, 409], removed)
            .map(|removed| removed.is_some())
            .map_err(failed(format!("remove the image {name}")))
    }
}
