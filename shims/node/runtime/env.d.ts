// Written anew at each build, from the project's manifest.
export interface DeclaredBindings {}
