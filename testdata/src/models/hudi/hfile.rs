//! HFile: the sorted key-value files of the metadata table, read from front to back.
//!
//! Source: HBase's `HFileBlock`, `HFileReaderImpl`; Hudi's `hudi-io` HFile reader.

use apache_avro::{Codec, DeflateSettings};

/// Magic, sizes, previous offset, checksum type and sizes.
const HEADER_BYTES: usize = 33;

/// The content of an HFile.
#[derive(Debug, Default)]
pub(super) struct HFile {
    /// Keys and values in file order.
    pub(super) entries: Vec<(String, Vec<u8>)>,
    /// Avro schema of the values.
    pub(super) schema: Option<String>,
}

/// Reads every block up to the trailer.
pub(super) fn read(bytes: &[u8]) -> Result<HFile, String> {
    let mut file = HFile::default();
    let mut at = 0;
    loop {
        let header = slice(bytes, at, HEADER_BYTES)?;
        let magic = slice(header, 0, 8)?;
        let stored = be_u32(header, 8)? as usize;
        let plain = be_u32(header, 12)? as usize;
        let with_header = be_u32(header, 29)? as usize;
        match magic {
            b"TRABLK\"$" => return Ok(file),
            b"DATABLK*" | b"DATABLKE" => {
                let block = content(bytes, at, with_header, plain)?;
                entries(&block, &mut file.entries)?;
            }
            b"FILEINF2" => {
                let block = content(bytes, at, with_header, plain)?;
                file.schema = info(&block, b"schema")?;
            }
            b"IDXLEAF2" | b"METABLKc" | b"IDXINTE2" | b"IDXROOT2" | b"BLMFBLK2" => {}
            _ => return Err(format!("no block at byte {at}")),
        }
        at += HEADER_BYTES + stored;
    }
}

/// The uncompressed content of a block.
fn content(bytes: &[u8], at: usize, with_header: usize, plain: usize) -> Result<Vec<u8>, String> {
    let length = with_header.checked_sub(HEADER_BYTES).ok_or("a block is too short")?;
    let stored = slice(bytes, at + HEADER_BYTES, length)?;
    if length == plain {
        return Ok(stored.to_vec());
    }
    // Gzip without optional fields: ten bytes, then what Avro calls deflate.
    if !stored.starts_with(&[0x1f, 0x8b, 8, 0]) {
        return Err("a block is compressed by other means than gzip".to_owned());
    }
    let mut stream = slice(stored, 10, length - 10)?.to_vec();
    let codec = Codec::Deflate(DeflateSettings::default());
    codec.decompress(&mut stream).map_err(|e| e.to_string())?;
    Ok(stream)
}

fn entries(block: &[u8], found: &mut Vec<(String, Vec<u8>)>) -> Result<(), String> {
    let mut at = 0;
    while at < block.len() {
        let key_bytes = be_u32(block, at)? as usize;
        let value_bytes = be_u32(block, at + 4)? as usize;
        let key = slice(block, at + 8, key_bytes)?;
        let row: [u8; 2] = slice(key, 0, 2)?.try_into().unwrap_or_default();
        let row = slice(key, 2, usize::from(u16::from_be_bytes(row)))?;
        let value = slice(block, at + 8 + key_bytes, value_bytes)?;
        found.push((String::from_utf8_lossy(row).into_owned(), value.to_vec()));
        // One byte of version follows the value.
        at += 8 + key_bytes + value_bytes + 1;
    }
    Ok(())
}

/// A value of the file info: after `PBUF`, one length-delimited message of pairs.
fn info(block: &[u8], wanted: &[u8]) -> Result<Option<String>, String> {
    let mut at = 4;
    let _length = varint(block, &mut at)?;
    while at < block.len() {
        // Field 1 of the message: a pair whose fields 1 and 2 are key and value.
        let _field = varint(block, &mut at)?;
        let end = varint(block, &mut at)? + at;
        let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
        while at < end {
            let field = varint(block, &mut at)?;
            let length = varint(block, &mut at)?;
            let text = slice(block, at, length)?;
            at += length;
            if field >> 3 == 1 { key = text } else { value = text }
        }
        if key == wanted {
            return Ok(Some(String::from_utf8_lossy(value).into_owned()));
        }
    }
    Ok(None)
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<usize, String> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at).ok_or("the file info ends early")?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number of the file info is too long".to_owned())
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], String> {
    let end = at.checked_add(length).ok_or("a length is too large")?;
    bytes.get(at..end).ok_or_else(|| format!("{length} bytes at {at} are not there"))
}

fn be_u32(bytes: &[u8], at: usize) -> Result<u32, String> {
    Ok(u32::from_be_bytes(slice(bytes, at, 4)?.try_into().unwrap_or_default()))
}
