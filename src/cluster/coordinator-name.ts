/** The name of a coordinator: the one it was given, or what stands before the first dot of its URL's host. */
export const coordinatorName = ({
  coordinator,
  public_url,
}: {
  coordinator?: string | undefined
  public_url: string
}): string =>
  coordinator ??
  new URL(public_url).host
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 32)
