//! Archives of contexts, hostile ones too.

use tar::{Builder, Header};

use super::*;

type Line<'a> = (&'a str, EntryType, &'a str);

fn archive(lines: &[Line<'_>]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, kind, content) in lines {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4755);
        header.set_mtime(5);
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            header.set_size(0);
            header.set_cksum();
            builder.append(&header, io::empty()).unwrap();
        } else {
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
    }
    builder.into_inner().unwrap()
}

fn read(lines: &[Line<'_>], most: u64) -> Result<Parcel, Denied> {
    let folder = tempfile::tempdir().unwrap();
    Parcel::read(archive(lines).as_slice(), folder.path(), most)
}

const FILE: EntryType = EntryType::Regular;

#[test]
fn files_come_in_the_order_of_folders_with_what_they_hold() {
    let parcel = read(
        &[
            ("./a.b", FILE, "one"),
            ("a/Dockerfile", FILE, "FROM x"),
            ("a/Dockerfile", FILE, "FROM y"),
            ("same", EntryType::Link, "a.b"),
            ("to", EntryType::Symlink, "../a"),
            ("pipe", EntryType::Fifo, ""),
            ("old/", FILE, ""),
        ],
        1000,
    );
    let parcel = parcel.unwrap();
    let paths: Vec<&str> = parcel.stats().map(|stat| stat.path.as_str()).collect();
    assert_eq!(paths, ["a", "a/Dockerfile", "a.b", "old", "same", "to"]);
    assert_eq!(parcel.text("a/Dockerfile").unwrap().unwrap(), b"FROM y");
    assert_eq!(parcel.text("a").unwrap(), None);
    for (file, content) in [(1, "FROM y"), (2, "one"), (4, "one")] {
        assert_eq!(parcel.part(file, 0).unwrap(), content.as_bytes());
        assert!(parcel.part(file, content.len() as u64).unwrap().is_empty());
    }
    let stats: Vec<&Stat> = parcel.stats().collect();
    assert_eq!(stats[2].mode, 1 << 23 | 0o755);
    assert_eq!(
        (stats[3].mode, stats[5].mode),
        (DIRECTORY | 1 << 23 | 0o755, SYMLINK | 0o777)
    );
    // Another content of the same size and second has another time.
    assert_eq!(stats[1].modified / SECOND, 5);
    let other = read(&[("a", FILE, "FROM x")], 1000).unwrap();
    assert_ne!(other.stats().next().unwrap().modified, stats[1].modified);
}

#[test]
fn an_archive_that_is_no_folder_is_refused() {
    for (lines, word) in [
        (&[("../a", FILE, "")][..], "leads out"),
        (&[("a/../../b", FILE, "")], "leads out"),
        (
            &[("a", EntryType::Link, "/etc/shadow")],
            "does not come before it",
        ),
        (
            &[("a", EntryType::Symlink, "b"), ("a/c", FILE, "")],
            "no folder",
        ),
        (&[("a", FILE, "too much")], "unpack it"),
    ] {
        let denied = read(lines, 5).unwrap_err();
        assert!(denied.message.contains(word), "{}", denied.message);
    }
    let folder = tempfile::tempdir().unwrap();
    let cut = &archive(&[("a", FILE, "some")])[..515];
    assert!(Parcel::read(cut, folder.path(), 1000).is_err());
}

#[test]
fn a_file_in_the_place_of_a_folder_takes_what_was_in_it_away() {
    let lines = [
        ("a/b", FILE, "1"),
        ("a/b/", FILE, ""),
        ("a/b/c", FILE, "2"),
        ("a", FILE, "3"),
    ];
    let parcel = read(&lines, 1000).unwrap();
    let paths: Vec<&str> = parcel.stats().map(|stat| stat.path.as_str()).collect();
    assert_eq!(paths, ["a"]);
}
