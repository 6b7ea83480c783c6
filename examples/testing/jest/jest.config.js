// Run as `NODE_OPTIONS=--experimental-vm-modules jest`: the package is an ES module. Where an app compiles its tests with
// ts-jest or @swc/jest, its own `transform` stands here.
export default {
  rootDir: import.meta.dirname,
  testMatch: ['**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': './strip-types.js' },
}
