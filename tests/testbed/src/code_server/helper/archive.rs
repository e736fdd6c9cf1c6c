//! Zip archives of a part of the checkout, with permissions and symbolic links.

use std::fs;
use std::io::{Cursor, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::files::Selection;

pub(super) fn pack(selection: &Selection, base: &Path) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for path in &selection.paths {
        let wrong = || format!("cannot archive {}", path.display());
        let place = base.join(path);
        let metadata = place.symlink_metadata().with_context(wrong)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(metadata.permissions().mode() & 0o7777);
        let name = path.to_string_lossy();
        if metadata.is_dir() {
            zip.add_directory(name, options).with_context(wrong)?;
        } else if metadata.is_symlink() {
            let target = fs::read_link(&place).with_context(wrong)?;
            zip.add_symlink(name, target.to_string_lossy(), options)
                .with_context(wrong)?;
        } else if metadata.is_file() {
            zip.start_file(name, options).with_context(wrong)?;
            zip.write_all(&fs::read(&place).with_context(wrong)?)
                .with_context(wrong)?;
        }
    }
    Ok(zip
        .finish()
        .context("cannot finish the archive")?
        .into_inner())
}

/// Nothing in the archive can leave the folder.
pub(super) fn unpack(content: &[u8], folder: &Path) -> Result<()> {
    let mut zip = ZipArchive::new(Cursor::new(content)).context("not a zip archive")?;
    zip.extract(folder).context("cannot extract the archive")
}
