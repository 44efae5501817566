//! Output files named by the user: existing files are kept unless `--force` is given.

use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use regatta_run_folder::{OutputError, check_output, write_output};

fn refusal(path: &Path, force: bool) -> String {
    let refused = write_output(path, force, b"new").unwrap_err();
    assert_eq!(check_output(path, force).unwrap_err().to_string(), refused.to_string());
    refused.to_string()
}

#[test]
fn a_file_is_replaced_only_when_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.svg");
    write_output(&path, false, "old").unwrap();
    let expected = format!("{} exists already: give another name, or --force to replace it", path.display());
    assert_eq!(refusal(&path, false), expected);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    write_output(&path, true, "new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    let missing = folder.path().join("missing/out.svg");
    assert!(matches!(write_output(&missing, true, "new"), Err(OutputError::Storage(_))));
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left beside it: {names:?}");
}

#[test]
fn links_stay_and_the_file_behind_them_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [file, link, other] = ["file", "link", "nowhere"].map(|name| folder.path().join(name));
    fs::write(&file, "old").unwrap();
    symlink("file", &link).unwrap();
    assert!(refusal(&link, false).contains(" exists already: "));
    write_output(&link, true, "new").unwrap();
    assert_eq!(fs::read(&file).unwrap(), b"new");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("file"));
    symlink("absent", &other).unwrap();
    assert!(
        refusal(&other, true)
            .ends_with(" is a link that leads nowhere, which is not replaced: give the name of a file")
    );
    assert!(!folder.path().join("absent").exists());
}

#[test]
fn sockets_devices_and_folders_are_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [socket, device] = ["socket", "device"].map(|name| folder.path().join(name));
    let _listener = UnixListener::bind(&socket).unwrap();
    symlink("/dev/null", &device).unwrap();
    for force in [false, true] {
        for (path, what) in [
            (Path::new("/dev/null"), "a device"),
            (&device, "a device"),
            (&socket, "a socket"),
            (folder.path(), "a folder"),
            (Path::new(".."), "a folder"),
        ] {
            let message = refusal(path, force);
            assert!(message.contains(&format!(" is {what}, which is not replaced")), "{message}");
        }
    }
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket());
}
