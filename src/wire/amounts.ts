/**
 * Amounts that JSON.parse might round to what a double can hold (9007199254740990.5, 1e-400): made strings, so that the
 * schema takes or refuses them digit by digit. Inside a string the quotes would be escaped, so only keys match.
 */
const LONG_AMOUNT = /"(fee|nonce|infer_fee)"(\s*:\s*)(-?(?!0\d)\d(?:[\d.eE+-]{15,}|[\d.]*[eE]-\d+))(?=\s*[,}])/g

/** JSON text in which no amount is lost when it is parsed; everything else is as it was. */
export const keepLongAmounts = (json: string): string => json.replace(LONG_AMOUNT, '"$1"$2"$3"')
