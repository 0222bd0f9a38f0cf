use super::*;

const ONE: &str = include_str!("../../../tests/fixtures/certificates/one.pem");
const TWO: &str = include_str!("../../../tests/fixtures/certificates/two.pem");
/// What `openssl x509 -outform der | sha256sum` says of them.
const HASHES: [&str; 2] = [
    "3b9bf182dbd7b1bb1bdb5c2922dd93ba513e0f92ab37fcc2b4906c40319fcb51",
    "58a3c45ec5bd1ec27d5de47f697148939b818f5134a150cd17507a403bb3b6ec",
];

fn hashes(certificates: Vec<Certificate>) -> Vec<String> {
    let hashes = Trust::new(certificates).hashes();
    hashes.iter().map(ToString::to_string).collect()
}

fn sorted(mut hashes: Vec<&str>) -> Vec<&str> {
    hashes.sort();
    hashes
}

#[test]
fn a_certificate_is_named_by_its_der_form() {
    let read = read(ONE.as_bytes()).unwrap();
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].sha256.to_string(), HASHES[0]);
    assert_eq!(read[0].subject, "CN=Example EC");
}

#[test]
fn the_way_a_file_was_written_does_not_count() {
    let plain = read(ONE.as_bytes()).unwrap();
    let der = plain[0].der.clone();
    let rows = [
        format!("Certificate:\n    Data: some text\n{ONE}and more\n"),
        ONE.replace('\n', "\r\n"),
        ONE.trim_end().to_owned(),
        format!("{ONE}{ONE}"),
    ];
    for text in rows {
        assert_eq!(
            hashes(read(text.as_bytes()).unwrap()),
            [HASHES[0]],
            "{text}"
        );
    }
    assert_eq!(hashes(read(&der).unwrap()), [HASHES[0]]);
    let marked = [b"\xef\xbb\xbf", ONE.as_bytes()].concat();
    let latin = [b"# Z\xfcrich\n", ONE.as_bytes()].concat();
    for bytes in [marked, latin] {
        assert_eq!(hashes(read(&bytes).unwrap()), [HASHES[0]]);
    }
    assert_eq!(Trust::new(plain).pem(), ONE);
}

#[test]
fn order_and_files_do_not_count() {
    let both = read(format!("{ONE}{TWO}").as_bytes()).unwrap();
    let back = read(format!("{TWO}{ONE}").as_bytes()).unwrap();
    assert_eq!(hashes(both.clone()), sorted(HASHES.to_vec()));
    assert_eq!(Trust::new(both).pem(), Trust::new(back).pem());
}

#[test]
fn what_is_no_certificate_is_refused_at_its_line() {
    let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let old_key = key.replace("PRIVATE", "EC PRIVATE");
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    let cut: String = ONE
        .lines()
        .take(4)
        .map(|line| format!("{line}\n"))
        .collect();
    let garbled = ONE.replacen("MIIB", "!!!!", 1);
    let rows = [
        (String::new(), "it holds no certificate"),
        (format!("{ONE}{key}"), "begins a private key"),
        (format!("{old_key}{ONE}"), "line 1 begins a private key"),
        (encrypted, "begins a private key"),
        (request.to_owned(), "line 1 begins `CERTIFICATE REQUEST`"),
        (cut, "line 1 cannot be read: it has no end"),
        (garbled, "line 1 cannot be read"),
        (
            "hello\n".to_owned(),
            "neither a PEM file nor a DER certificate",
        ),
    ];
    for (text, wrong) in rows {
        let error = read(text.as_bytes()).unwrap_err();
        assert!(error.to_string().contains(wrong), "{error}");
        assert!(!error.hint().is_empty());
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0usize..900, to: u8) {
        let _ = read(&bytes);
        let mut text = ONE.as_bytes().to_vec();
        let at = cut % text.len();
        text[at] = to;
        let _ = read(&text);
        text.truncate(at);
        let _ = read(&text);
    }
}
