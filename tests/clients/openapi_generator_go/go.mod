module ticketing/openapi_generator_go

go 1.26.0

require golang.org/x/oauth2 v0.38.0
