//! Golden bytes of a record header.

use super::*;

/// Field values that show their place in the bytes.
pub(crate) fn sample() -> RecordHeader {
    let mut header = RecordHeader {
        magic: MAGIC,
        format: FORMAT,
        kind: Kind::Commands as u16,
        rules: 0x0403_0201,
        frame: 0x1f1e_1d1c_1b1a_1918_1716_1514_1312_1110,
        segment: 0x2726_2524_2322_2120,
        offset: 0x2f2e_2d2c_2b2a_2928,
        epoch: 0x3736_3534_3332_3130,
        leader: 0x3f3e_3d3c_3b3a_3938,
        index: 0x4746_4544_4342_4140,
        first_sequence: 0x4f4e_4d4c_4b4a_4948,
        commands: 0x5352_5150,
        payload_len: 0x5756_5554,
        timestamp_ns: 0x5f5e_5d5c_5b5a_5958,
        durable_index: 0x6766_6564_6362_6160,
        settled_sequence: 0x6f6e_6d6c_6b6a_6968,
        executed_sequence: 0x7776_7574_7372_7170,
        reserved_a: [0; 8],
        run_digest: [0x80; 16],
        reserved_b: [0; 16],
        previous_hash: [0xa0; 32],
        payload_hash: [0xc0; 32],
        hash: [0; 32],
    };
    header.hash = header.computed_hash();
    header
}

#[test]
fn header_bytes_are_golden() {
    let mut golden = Vec::new();
    golden.extend_from_slice(b"BZNTJRNL");
    golden.extend_from_slice(&[1, 0, 2, 0, 1, 2, 3, 4]);
    golden.extend(0x10_u8..0x78);
    golden.extend_from_slice(&[0; 8]);
    golden.extend_from_slice(&[0x80; 16]);
    golden.extend_from_slice(&[0; 16]);
    golden.extend_from_slice(&[0xa0; 32]);
    golden.extend_from_slice(&[0xc0; 32]);
    let header = sample();
    assert_eq!(&header.as_bytes()[..224], &golden[..]);
    let hash: String = header.hash.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hash, "34cd722432bedd86485557fa636bc13a26f33ba7d800a9ce82390a9fea2ea5f4");
    assert_eq!(RecordHeader::parse(header.as_bytes()), Ok(header));
}

#[test]
fn any_flipped_bit_of_a_header_is_seen() {
    let bytes: [u8; 256] = sample().as_bytes().try_into().unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bad = bytes;
            bad[at] ^= 1 << bit;
            assert!(RecordHeader::parse(&bad).is_err(), "byte {at} bit {bit}");
        }
    }
    assert_eq!(RecordHeader::parse(&bytes[..255]), Err(FormatError::Short));
}

#[test]
fn records_are_padded_to_blocks() {
    assert_eq!(record_len(0), 4096);
    assert_eq!(record_len(4096 - 256), 4096);
    assert_eq!(record_len(4096 - 255), 8192);
    assert_eq!(record_len(RECORD_LEN_MAX), RECORD_LEN_MAX + 4096);
}
