//! A gzipped tar archive → its files, under limits that hold while it is unpacked.

use std::io::Read;

use flate2::read::MultiGzDecoder;
use tar::{Archive, EntryType};

use crate::deliver::files::{Files, LARGEST, MOST};

/// The archive with its headers and paddings, unpacked, in bytes: what a bomb grows to before it is stopped.
const LARGEST_UNPACKED: u64 = LARGEST + (16 << 20);

/// The files of a bundle. OPA writes their names with a slash before them, which means the archive's top.
pub(in crate::deliver::bundle) fn unpack(packed: &[u8]) -> Result<Files, String> {
    let broken = |error: std::io::Error| format!("it is not a whole tar.gz archive: {error}");
    let mut archive = Archive::new(MultiGzDecoder::new(packed).take(LARGEST_UNPACKED));
    let (mut files, mut entries) = (Files::default(), 0);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        entries += 1;
        if entries > 2 * MOST {
            return Err(format!("it has more than {} entries", 2 * MOST));
        }
        let path = String::from_utf8(entry.path_bytes().into_owned());
        let path = path.map_err(|_| "it has a file whose name is not UTF-8".to_owned())?;
        let name = path.strip_prefix("./").or_else(|| path.strip_prefix('/')).unwrap_or(&path);
        match entry.header().entry_type() {
            EntryType::Regular => {}
            EntryType::Directory => continue,
            _ => return Err(format!("`{}` is neither a file nor a folder", path.escape_debug())),
        }
        let mut content = Vec::new();
        entry.by_ref().take(LARGEST + 1).read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != entry.size() {
            return Err(format!("`{}` breaks off, or is too large", path.escape_debug()));
        }
        files.add(name, content)?;
    }
    // The checksum stands at the end, which a reader of files does not come to by itself.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(broken)?;
    if files.is_empty() {
        return Err("it has no files".to_owned());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::{Builder, Header};

    use super::*;

    fn packed(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, kind, content) in entries {
            let mut header = Header::new_gnu();
            // By hand: the library itself refuses to write what an attacker would.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn files_are_found_under_the_names_that_opa_and_tar_give_them() {
        for name in ["/roles/data.json", "roles/data.json", "./roles/data.json"] {
            let files =
                unpack(&packed(&[("roles", EntryType::Directory, b""), (name, FILE, b"{}")])).unwrap();
            assert_eq!(files.get("roles/data.json"), Some(b"{}".as_slice()), "{name}");
        }
    }

    #[test]
    fn what_could_leave_the_folder_or_stand_for_something_else_is_refused() {
        let bad: [&[(&str, EntryType, &[u8])]; 8] = [
            &[("../x.rego", FILE, b"")],
            &[("a/../../x.rego", FILE, b"")],
            &[("//etc/x.rego", FILE, b"")],
            &[("x.rego", EntryType::Symlink, b"")],
            &[("x.rego", EntryType::Link, b"")],
            &[("x.rego", EntryType::Fifo, b"")],
            &[("x.rego", FILE, b"1"), ("/x.rego", FILE, b"2")],
            &[],
        ];
        for entries in bad {
            assert!(unpack(&packed(entries)).is_err(), "{entries:?}");
        }
    }

    #[test]
    fn an_archive_that_breaks_off_is_refused_wherever_it_does() {
        let whole = packed(&[("/a.rego", FILE, &[b'a'; 3000]), ("/b.rego", FILE, &[b'b'; 3000])]);
        assert_eq!(unpack(&whole).unwrap().iter().count(), 2);
        for end in [0, 1, 10, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            assert!(unpack(&whole[..end]).is_err(), "after {end} of {} bytes", whole.len());
        }
    }

    #[test]
    fn a_bomb_is_stopped_while_it_grows() {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        let mut header = Header::new_gnu();
        header.set_path("data.json").unwrap();
        header.set_size(1 << 40);
        header.set_cksum();
        bomb.write_all(header.as_bytes()).unwrap();
        for _ in 0..160 {
            bomb.write_all(&[0; 1 << 20]).unwrap();
        }
        let said = unpack(&bomb.finish().unwrap()).unwrap_err();
        assert!(said.contains("too large"), "{said}");
    }
}
