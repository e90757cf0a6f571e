-- Follows session.sql wherever the ground is laid: what is made belongs to relay_owner.
set local role relay_owner;
-- Functions call each other in no particular order of their files.
set local check_function_bodies = off;
