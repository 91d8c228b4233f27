/** Prints rows one by one as they come; the widths are those of the heading. */
export function startTable(heading) {
  const print = (row) =>
    console.log(
      `  ${row
        .map((cell, i) => String(cell).padEnd(heading[i].length))
        .join('  ')
        .trimEnd()}`,
    )
  print(heading)
  return print
}
