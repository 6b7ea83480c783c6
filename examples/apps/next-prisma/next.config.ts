import type { NextConfig } from 'next'

const config: NextConfig = {
  // It loads drivers by name, which a bundler would look for.
  serverExternalPackages: ['activestorage-delayed'],
}
export default config
