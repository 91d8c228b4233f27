/** Whether a socket's address is this machine's own; limits per address do not count it. Also for IPv4 written as IPv6. */
export const isLoopback = (address: string): boolean => address === '::1' || /^(?:::ffff:)?127\./i.test(address)
