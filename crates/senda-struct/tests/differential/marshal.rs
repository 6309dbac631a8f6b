//! Just enough of Python's `marshal`, version 2, to write values down.

use senda_struct::Value;

/// Something to write.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Value(Value),
    Text(String),
    Tuple(Vec<Item>),
    List(Vec<Item>),
}

impl Item {
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Self::Value(bytes.into())
    }

    pub(crate) fn int(value: impl TryInto<i128>) -> Self {
        Self::Value(Value::Int(value.try_into().unwrap_or_else(|_| panic!("fits"))))
    }

    pub(crate) fn values(values: &[Value]) -> Self {
        Self::Tuple(values.iter().cloned().map(Self::Value).collect())
    }

    pub(crate) fn marshal(&self, out: &mut Vec<u8>) {
        match self {
            Self::Value(Value::Int(value)) => marshal_int(*value, out),
            Self::Value(Value::Float(value)) => {
                out.push(b'g');
                out.extend(value.to_le_bytes());
            }
            Self::Value(Value::Bool(value)) => out.push(if *value { b'T' } else { b'F' }),
            Self::Value(Value::Bytes(bytes)) => {
                marshal_len(b's', bytes.len(), out);
                out.extend(bytes);
            }
            Self::Text(text) => {
                marshal_len(b'u', text.len(), out);
                out.extend(text.as_bytes());
            }
            Self::Tuple(items) | Self::List(items) => {
                let kind = if matches!(self, Self::List(_)) { b'[' } else { b'(' };
                marshal_len(kind, items.len(), out);
                for item in items {
                    item.marshal(out);
                }
            }
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.marshal(&mut out);
        out
    }
}

fn marshal_len(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend(i32::try_from(len).expect("a batch is small").to_le_bytes());
}

/// 32 bits as they are; more as digits of 15 bits, the sign in their number.
fn marshal_int(value: i128, out: &mut Vec<u8>) {
    if let Ok(small) = i32::try_from(value) {
        out.push(b'i');
        out.extend(small.to_le_bytes());
        return;
    }
    let mut digits = Vec::new();
    let mut rest = value.unsigned_abs();
    while rest > 0 {
        digits.push(u16::try_from(rest & 0x7fff).expect("15 bits"));
        rest >>= 15;
    }
    let count = i32::try_from(digits.len()).expect("few");
    out.push(b'l');
    out.extend((if value < 0 { -count } else { count }).to_le_bytes());
    out.extend(digits.iter().flat_map(|digit| digit.to_le_bytes()));
}
