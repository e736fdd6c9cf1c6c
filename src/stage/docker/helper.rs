//! The helper image: configured, local, from the runner's package, pulled, or made on the spot.
//! Whatever goes wrong with it is the host's fault.

use std::{fs::File, path::Path};

use super::{image::Local, job::DockerJob};
use crate::{
    docker::{
        helper::{self, Recipe},
        name,
        reference::Reference,
    },
    failure::Failure,
    job::Image,
};

impl DockerJob<'_> {
    /// The helper image's id.
    pub(super) async fn helper_image(&self) -> Result<String, Failure> {
        if let Some(text) = &self.lane.helper_image {
            let reference = Reference::parse_or_id(text)
                .map_err(|error| Failure::system(error).during("reading helper-image"))?;
            let wish = Image::default();
            let id = self.local_image(&reference, &wish, Local::Host).await;
            return id.map_err(|failure| {
                Failure::system(failure.to_string()).during("providing the helper image")
            });
        }
        // Set by the runner after the job's own variables, so no author can set it.
        let environ = &self.context.call.job_environ;
        let version = environ.get("CI_RUNNER_VERSION").map(String::as_str);
        let official = helper::official(version.unwrap_or_default());
        let recipe = Recipe::gather(&self.context.path);
        let tag = recipe.as_ref().ok().map(Recipe::tag).transpose();
        for name in official.iter().chain(&tag.map_err(Failure::system)?) {
            let reference = Reference::parse(name).map_err(Failure::system)?;
            if let Some(id) = self.present_image(&reference, Local::Host).await? {
                return Ok(id);
            }
        }
        if let Some(name) = official {
            if let Some(archive) = helper::packaged(&self.context.path) {
                return self.unpack(&archive, &name).await;
            }
            let reference = Reference::parse(&name).map_err(Failure::system)?;
            // Whatever is wrong with it, it is not the job's fault.
            let failure = match self.pull(&reference).await {
                Ok(id) => return Ok(id),
                Err(failure) => Failure::system(failure.to_string()),
            };
            if recipe.is_err() {
                return Err(failure.during("providing the helper image"));
            }
            self.say(&format!("  {failure}")).await;
        }
        self.make(recipe.map_err(Failure::system)?).await
    }

    /// Takes the image from the archive that the gitlab-runner package brings.
    async fn unpack(&self, archive: &Path, name: &str) -> Result<String, Failure> {
        let path = archive.display();
        self.say(&format!("Unpacking the helper image {path} …"))
            .await;
        let file = File::open(archive)
            .map_err(|error| Failure::system(error).during(&format!("opening {path}")))?;
        self.import(file, name).await
    }

    /// Makes the image from this host's own programs.
    async fn make(&self, recipe: Recipe) -> Result<String, Failure> {
        let tag = recipe.tag().map_err(Failure::system)?;
        self.say("Making the helper image from this host's git and gitlab-runner …")
            .await;
        let archive = tokio::task::spawn_blocking(move || recipe.archive())
            .await
            .map_err(Failure::system)?
            .map_err(Failure::system)?;
        self.import(archive, &tag).await
    }

    async fn import(&self, archive: File, image: &str) -> Result<String, Failure> {
        let label = (name::INSTALLATION, self.names.mark());
        let archive = helper::stream(archive);
        self.engine.import(archive, image, label).await?;
        self.made_image(image).await
    }
}
