/// The process's own memory where only the system's C interfaces say enough: pages of loaded programs.
#pragma once

/// Lets go of the pages of the program and its libraries that nothing has written to; what is asked for again comes back from the file.
///
/// Only segments of loaded objects are touched, and only while the loader may not unload them: other threads may map, unmap and fill
/// whatever they like meanwhile. Does nothing where the system does not tell which pages were written to.
void cm_release_program_pages(void);
