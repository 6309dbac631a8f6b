//! Checks that the bodies share. Spec §5a and §5.26.

use crate::{BodyError, Reader};

pub(crate) fn in_range(
    field: &'static str,
    value: u32,
    least: u32,
    most: u32,
) -> Result<u32, BodyError> {
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(BodyError::Range { field, value: value.into() })
    }
}

pub(crate) fn registered<T>(
    field: &'static str,
    code: u8,
    from_code: impl Fn(u8) -> Option<T>,
) -> Result<T, BodyError> {
    from_code(code).ok_or(BodyError::Range { field, value: code.into() })
}

pub(crate) fn read_rest<'a>(body: &mut Reader<'a>) -> &'a [u8] {
    let rest = body.rest();
    *body = Reader::new(&[]);
    rest
}
