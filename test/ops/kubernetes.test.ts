import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { loadNodeConfig } from '../../src/inference-node/config.js'
import { listening, readOps, runDeployed, stopped, writePrivate, yamls } from '../support/deployed.js'
import { tempDir } from '../support/temp-dir.js'

const [claim, deployment, service] = yamls(readOps('kubernetes/coordinator.yaml'))
const [configMap, statefulSet] = yamls(readOps('kubernetes/node.yaml'))

test('the manifests name only what is there, and one coordinator never meets another', () => {
  expect([claim.kind, deployment.kind, service.kind]).toEqual(['PersistentVolumeClaim', 'Deployment', 'Service'])
  expect([configMap.kind, statefulSet.kind]).toEqual(['ConfigMap', 'StatefulSet'])
  expect(deployment.spec).toMatchObject({ replicas: 1, strategy: { type: 'Recreate' } })
  for (const { spec } of [deployment, statefulSet]) {
    const { template } = spec
    expect(template.metadata.labels).toMatchObject(spec.selector.matchLabels)
    expect(template.spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 })
    const [container] = template.spec.containers
    expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true, allowPrivilegeEscalation: false })
    const claimed = (spec.volumeClaimTemplates ?? []).map((c: { metadata: { name: string } }) => c.metadata.name)
    const volumes = [...claimed, ...template.spec.volumes.map((volume: { name: string }) => volume.name)]
    const mounted = container.volumeMounts.map((mount: { name: string }) => mount.name)
    expect(mounted.sort()).toEqual(volumes.sort())
  }
  const { template } = deployment.spec
  expect(template.spec.volumes[0].persistentVolumeClaim.claimName).toBe(claim.metadata.name)
  expect(template.metadata.labels).toMatchObject(service.spec.selector)
  const ports = template.spec.containers[0].ports.map((port: { name: string }) => port.name)
  expect(service.spec.ports.map((port: { targetPort: string }) => port.targetPort)).toEqual(ports)
  expect(statefulSet.spec.template.spec.volumes[0].configMap.name).toBe(configMap.metadata.name)
})

test('a stop of a node has the time that its drain takes', () => {
  const dir = tempDir()
  const file = join(dir, 'node.toml')
  writePrivate(join(dir, 'invite'), '\n')
  writePrivate(file, configMap.data['node.toml'].replace('/run/secrets/inference/invite', join(dir, 'invite')))
  const { node } = loadNodeConfig(file, {}, {})
  expect(statefulSet.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(node.drain_timeout)
  expect(node.metrics_port).toBe(statefulSet.spec.template.spec.containers[0].ports[0].containerPort)
  // What nodes dial is a name that the coordinator knows as its own.
  const { host } = new URL(node.coordinator)
  expect(host).toBe(`${service.metadata.name}:${service.spec.ports[0].port}`)
  expect(readOps('kubernetes/signer.toml')).toContain(`public_hosts = ["${host}"]`)
})

test('the command of the coordinator serves, and its probes are answered', async () => {
  const dir = tempDir()
  const [container] = deployment.spec.template.spec.containers
  const place = (text: string): string =>
    text
      .replaceAll('/etc/stacks-inference', dir)
      .replaceAll('/data', dir)
      .replace(/8080(?!")|9464/g, '0')
  writePrivate(join(dir, 'signer.toml'), place(readOps('kubernetes/signer.toml')))
  const child = runDeployed(['node', '/app/dist/cli.js', ...container.args.map(place)], dir)
  const asked = await listening(child)
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
    const { path, port } = container[probe].httpGet
    expect([port, (await asked.get(path)).status]).toEqual(['http', 200])
  }
  // With authentication on, though nobody has made a token yet.
  expect((await asked.get('/api/v1/tasks')).status).toBe(401)
  expect(await stopped(child)).toEqual({ code: 0, signal: null })
  expect(readFileSync(join(dir, 'inference.db')).length).toBeGreaterThan(0)
})
